defmodule HotElixir.Application do
  use Application

  @impl true
  def start(_type, _args) do
    Supervisor.start_link([HotElixir.Greeter, HotElixir.HTTP], strategy: :one_for_one, name: HotElixir.Supervisor)
  end

  @impl true
  def config_change(changed, new, removed) do
    names = &Enum.sort(Keyword.keys(&1))
    :persistent_term.put(:hot_config_change, {names.(changed), names.(new), removed})
    :ok
  end
end

defmodule HotElixir.Greeter do
  use GenServer
  @vsn "@VERSION@"

  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)
  def greet, do: GenServer.call(__MODULE__, :greet)
  def callback(x), do: Application.fetch_env!(:hot_elixir, :callback).(x)

  @impl true
  def init(_), do: {:ok, make_ref()}

  @impl true
  def handle_call(:greet, _from, ref), do: {:reply, {"@VERSION@", Application.fetch_env!(:hot_elixir, :greeting), ref}, ref}

  @impl true
  def code_change(_old, ref, _extra), do: {:ok, ref}
end

defmodule HotElixir.HTTP do
  @moduledoc "GET / counts; /health is the probe; /version serves the tests. The same in all versions."

  def child_spec(_), do: %{id: __MODULE__, start: {__MODULE__, :start_link, []}}
  def start_link, do: :proc_lib.start_link(__MODULE__, :init, [self()])

  def init(parent) do
    port = String.to_integer(System.get_env("PORT") || "0")
    opts = [:binary, packet: :http_bin, active: false, reuseaddr: true, ip: {127, 0, 0, 1}]
    {:ok, listen} = :gen_tcp.listen(port, opts)
    :proc_lib.init_ack(parent, {:ok, self()})
    accept(listen)
  end

  defp accept(listen) do
    {:ok, socket} = :gen_tcp.accept(listen)
    pid = spawn(fn -> receive(do: (:go -> serve(socket))) end)
    :ok = :gen_tcp.controlling_process(socket, pid)
    send(pid, :go)
    accept(listen)
  end

  defp serve(socket) do
    case :gen_tcp.recv(socket, 0, 60_000) do
      {:ok, {:http_request, :GET, {:abs_path, path}, _}} ->
        skip_headers(socket)
        {code, body} = answer(path)
        :ok = :inet.setopts(socket, packet: :raw)
        head = "HTTP/1.1 #{code}\r\ncontent-type: text/plain\r\ncontent-length: #{byte_size(body)}\r\n\r\n"
        _ = :gen_tcp.send(socket, [head, body])
        :ok = :inet.setopts(socket, packet: :http_bin)
        serve(socket)

      _ ->
        :gen_tcp.close(socket)
    end
  end

  defp skip_headers(socket) do
    case :gen_tcp.recv(socket, 0, 60_000) do
      {:ok, :http_eoh} -> :ok
      {:ok, _} -> skip_headers(socket)
    end
  end

  defp answer("/"), do: {"200 OK", "#{HotCore.Counter.bump()}\n"}
  defp answer("/health"), do: {"200 OK", "ok\n"}
  defp answer("/version"), do: {"200 OK", "#{Application.spec(:hot_elixir, :vsn)}\n"}
  defp answer(_), do: {"404 Not Found", "not here\n"}
end
