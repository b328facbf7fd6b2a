package erlapi_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// snippets are the fenced blocks of one language in docs/erlang-api.md.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	b, err := os.ReadFile("../../docs/erlang-api.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for i, part := range strings.Split(string(b), "\n```") {
		if code, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			list = append(list, code)
		}
	}
	if len(list) < 3 {
		t.Fatalf("docs/erlang-api.md has %d snippets in %s", len(list), language)
	}
	return list
}

// instanceEnv is what an instance finds in its environment.
func instanceEnv(instance string) map[string]string {
	name, _, _ := strings.Cut(instance, "@")
	app, _, _ := strings.Cut(name, "-")
	return map[string]string{"BEAMKEEPER_NODE": keeper, "BEAMKEEPER_INSTANCE": name, "BEAMKEEPER_APP": app}
}

func TestDocumentation_Erlang(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP) {
		r := newRig(t)
		e := nodetest.StartErl(t, otp, shop, cookie, r.epmd)
		for k, v := range instanceEnv(shop) {
			e.Eval(fmt.Sprintf("os:putenv(%q, %q)", k, v))
		}
		modules := 0
		for _, code := range snippets(t, "erlang") {
			if !strings.HasPrefix(code, "-module") {
				if _, err := e.TryEval(code); err != nil {
					t.Errorf("%s\n%v", code, err)
				}
				continue
			}
			modules++
			file := filepath.Join(t.TempDir(), "shop_keeper.erl")
			if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
			want(t, e, fmt.Sprintf(`{ok, M, Beam} = compile:file(%q, [binary, return_errors, warnings_as_errors]), code:load_binary(M, "shop_keeper", Beam)`, file), "{module, shop_keeper}")
			want(t, e, `{ok, [#{name := <<"shop-4f9a2c">>} | _]} = shop_keeper:instances(), {shop_keeper:ready(), shop_keeper:deploy(<<"9.9.9">>)}`,
				`{{ok, nil}, {error, {refused, <<"no release 9.9.9; publish it">>}}}`)
			want(t, e, `{ok, #{name := <<"shop">>}} = shop_keeper:status(), {ok, [_ | _]} = shop_keeper:history(), {ok, _} = shop_keeper:subscribe(),
				{ok, _} = shop_keeper:deploy(<<"1.5.0">>), receive {beamkeeper_event, #{app := <<"shop">>}} -> rpc:call(`+keeper+`, beamkeeper, unsubscribe, []) after 10000 -> none end`, "ok")
			want(t, e, "{shop_keeper:restart(), shop_keeper:drain()}", "{{ok, nil}, {ok, nil}}")
		}
		if modules != 1 {
			t.Errorf("%d modules, want that of Gleam's FFI", modules)
		}
		r.node.Close()
		want(t, e, "shop_keeper:ready()", "{error, noconnection}")
	})
}

// elixirEnd waits until the GenServer of the snippets, which subscribes on its own, has got an event.
const elixirEnd = `
Enum.find(1..1000, fn _ ->
  {:ok, _} = :rpc.call(keeper, :beamkeeper, :deploy, ["shop", "1.5.0"])
  Process.sleep(10)
  is_integer(Shop.Events.last_id())
end) || raise "no event for Shop.Events"

IO.puts("all done")
`

func TestDocumentation_Elixir(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP) {
		elixir := filepath.Join(otp.Bin, "elixir")
		if _, err := os.Stat(elixir); err != nil {
			if os.Getenv("REQUIRE_OTP") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		r := newRig(t)
		code := strings.Join(snippets(t, "elixir"), "\n") + elixirEnd
		file := filepath.Join(t.TempDir(), "snippets.exs")
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), elixir, "--sname", shop, "--cookie", cookie,
			"--erl", "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}", file)
		cmd.Env = otp.Env("HOME="+t.TempDir(), "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+strconv.Itoa(r.epmd), "LC_ALL=C.UTF-8")
		for k, v := range instanceEnv(shop) {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasSuffix(string(out), "all done\n") {
			t.Errorf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "warning:") {
			t.Errorf("the compiler warns:\n%s", out)
		}
	})
}
