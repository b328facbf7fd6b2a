defmodule SampleElixir.Counter do
  @moduledoc "The state that a hot upgrade must keep: an integer in 0.1.x, a map from 0.2.0 on."
  use GenServer
  @vsn "@VERSION@"
  @map_state not String.starts_with?("@VERSION@", "0.1.")

  def start_link(_), do: GenServer.start_link(__MODULE__, 0, name: __MODULE__)
  def bump, do: GenServer.call(__MODULE__, :bump)
  def value, do: GenServer.call(__MODULE__, :value)

  @impl true
  def init(n), do: {:ok, new(n)}

  @impl true
  def handle_call(:bump, _from, state), do: {:reply, count(state) + 1, new(count(state) + 1)}
  def handle_call(:value, _from, state), do: {:reply, count(state), state}

  @impl true
  def code_change(_old, state, _extra), do: {:ok, new(count(state))}

  defp count(%{count: n}), do: n
  defp count(n), do: n

  if @map_state do
    defp new(n), do: %{count: n}
  else
    defp new(n), do: n
  end
end
