import Config
config :sample_elixir, greeting: "hello from @VERSION@"
