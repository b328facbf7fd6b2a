defmodule SampleElixir.Application do
  @moduledoc "A counter behind a small HTTP port; versions that end in -crash die while starting."
  use Application

  @impl true
  def start(_type, _args) do
    IO.puts("sample_elixir @VERSION@ starting on #{node()}")
    if String.ends_with?("@VERSION@", "-crash"), do: raise("asked to crash at boot")
    Process.sleep(String.to_integer(System.get_env("SAMPLE_BOOT_DELAY_MS") || "0"))

    children = [SampleElixir.Counter, SampleElixir.HTTP]
    Supervisor.start_link(children, strategy: :one_for_one, name: SampleElixir.Supervisor)
  end
end
