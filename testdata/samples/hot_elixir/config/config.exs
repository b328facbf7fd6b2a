import Config
config :hot_elixir, greeting: "hello from @VERSION@", only_in: "@VERSION@"
config :hot_core, [{:"key_of_@VERSION@", true}]
