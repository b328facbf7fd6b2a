defmodule HotCore.Application do
  use Application

  @impl true
  def start(_type, _args) do
    Application.put_env(:hot_core, :set_at_run_time, self())
    Supervisor.start_link([HotCore.Counter], strategy: :one_for_one, name: HotCore.Supervisor)
  end
end

defmodule HotCore.Counter do
  @moduledoc "The state that an upgrade must keep."
  use GenServer
  @vsn "@VERSION@"

  def start_link(_), do: GenServer.start_link(__MODULE__, 0, name: __MODULE__)
  def bump, do: GenServer.call(__MODULE__, :bump)
  def state, do: GenServer.call(__MODULE__, :state)

  @impl true
  def init(n), do: {:ok, new(n)}

  @impl true
  def handle_call(:bump, _from, state), do: {:reply, count(state) + 1, new(count(state) + 1)}
  def handle_call(:state, _from, state), do: {:reply, state, state}

  @impl true
  def code_change({:down, _}, state, _extra), do: {:ok, @DOWN@}
  def code_change(_old, state, _extra), do: {:ok, new(count(state))}

  defp count({_, n}), do: n
  defp count(n), do: n

  defp new(n), do: @STATE@
end

defprotocol HotCore.Describe do
  def describe(thing)
end

defimpl HotCore.Describe, for: Integer do
  def describe(n), do: "the number #{n}"
end

if "@VERSION@" != "0.1.0" do
  defmodule HotCore.Thing do
    defstruct name: "thing"
    def describe, do: HotCore.Describe.describe(%__MODULE__{name: "thing of @VERSION@"})
  end

  defimpl HotCore.Describe, for: HotCore.Thing do
    def describe(thing), do: thing.name
  end
end
