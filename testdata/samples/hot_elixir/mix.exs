defmodule Hot.MixProject do
  use Mix.Project

  def project do
    [
      apps_path: "apps",
      version: "@VERSION@",
      start_permanent: true,
      deps: [],
      releases: [
        hot_elixir: [
          version: "@VERSION@",
          applications: [hot_core: :permanent, hot_elixir: :permanent, runtime_tools: :permanent],
          include_executables_for: [:unix],
          reboot_system_after_config: false,
          steps: [:assemble, &copy_appups/1, :tar]
        ]
      ]
    ]
  end

  # What Jellyfish's step does with the appups that it makes.
  defp copy_appups(release) do
    for {app, props} <- release.applications, File.exists?(appup = "appups/#{app}.appup") do
      ebin = Path.join([release.path, "lib", "#{app}-#{props[:vsn]}", "ebin"])
      File.cp!(appup, Path.join(ebin, "#{app}.appup"))
      json = ~s({"name": "#{app}", "type": "project", "from": "@FROM@", "to": "@VERSION@"})
      File.write!(Path.join(ebin, "jellyfish.json"), json)
    end

    release
  end
end
