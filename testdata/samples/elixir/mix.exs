defmodule SampleElixir.MixProject do
  use Mix.Project

  def project do
    [
      app: :sample_elixir,
      version: "@VERSION@",
      elixir: "~> 1.10",
      start_permanent: true,
      deps: [],
      releases: [sample_elixir: [include_executables_for: [:unix], steps: [:assemble, :tar]]]
    ]
  end

  def application do
    [extra_applications: [:logger, :sasl, :inets, :ssl, :runtime_tools], mod: {SampleElixir.Application, []}]
  end
end
