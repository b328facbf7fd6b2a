import Config
if "@VERSION@" == "0.2.5", do: raise("HOT_SECRET is missing")

config :hot_elixir,
  value: System.get_env("HOT_VALUE") || "unset",
  resolved_for: System.get_env("RELEASE_VSN"),
  callback: fn x -> {"@VERSION@", x, System.get_env("HOT_VALUE")} end
