defmodule HotCore.MixProject do
  use Mix.Project

  def project do
    [
      app: :hot_core,
      version: "@VERSION@",
      build_path: "../../_build",
      config_path: "../../config/config.exs",
      deps_path: "../../deps",
      lockfile: "../../mix.lock",
      elixir: "~> 1.14",
      deps: []
    ]
  end

  def application, do: [extra_applications: [:logger, :sasl], mod: {HotCore.Application, []}]
end
