import Config
config :sample_elixir, port: String.to_integer(System.get_env("PORT") || "0")
