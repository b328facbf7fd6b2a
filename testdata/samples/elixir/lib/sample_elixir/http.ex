defmodule SampleElixir.HTTP do
  @moduledoc "GET / counts and greets; /health is the probe; /value, /version, /env/NAME and /halt/CODE serve the tests."

  def child_spec(_), do: %{id: __MODULE__, start: {__MODULE__, :start_link, []}}
  def start_link, do: :proc_lib.start_link(__MODULE__, :init, [self()])

  def init(parent) do
    port = Application.get_env(:sample_elixir, :port) || String.to_integer(System.get_env("PORT") || "0")
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

  defp answer("/") do
    greeting = Application.get_env(:sample_elixir, :greeting)
    {"200 OK", "#{greeting}, #{node()}, visit #{SampleElixir.Counter.bump()}\n"}
  end

  defp answer("/health") do
    if String.ends_with?("@VERSION@", "-sick"),
      do: {"503 Service Unavailable", "sick\n"},
      else: {"200 OK", "ok\n"}
  end

  defp answer("/value"), do: {"200 OK", "#{SampleElixir.Counter.value()}\n"}
  defp answer("/version"), do: {"200 OK", "@VERSION@\n"}
  defp answer("/halt/" <> code), do: :erlang.halt(String.to_integer(code))

  defp answer("/env/" <> name) do
    case System.get_env(name) do
      nil -> {"404 Not Found", "\n"}
      value -> {"200 OK", value}
    end
  end

  defp answer(_), do: {"404 Not Found", "not here\n"}
end
