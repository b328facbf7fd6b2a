package upgrade_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// environment prints an application's environment key by key.
func (i *instance) key(app, key etf.Atom) string {
	i.t.Helper()
	return i.eval("application", "get_env", app, key)
}

func change(p upgrade.Prepared, app, key string) string {
	for _, c := range p.Env {
		if c.App == app && c.Key == key {
			return c.Change + " " + c.Source
		}
	}
	return ""
}

func TestInstall_KeepsTheEnvironmentOfAMixRelease(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, all...) {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			i := begin(t, otp, sampletest.HotElixir, "0.1.0", withEnv("HOT_VALUE", "a 'b' ü"))
			atRunTime := i.key("hot_core", "set_at_run_time")
			if _, err := i.call("application", "set_env", etf.Atom("hot_elixir"), etf.Atom("greeting"), etf.Binary("set by hand")); err != nil {
				t.Fatal(err)
			}
			j := i.job("0.1.0", "0.2.0")
			p := i.prepare(j)
			for _, c := range []struct{ app, key, want string }{
				{"hot_elixir", "only_in", "changed release"}, {"hot_elixir", "greeting", "changed release"},
				{"hot_elixir", "value", ""}, {"hot_elixir", "callback", "changed provider"}, {"hot_elixir", "resolved_for", "changed provider"},
				{"hot_core", "key_of_0.1.0", "removed release"}, {"hot_core", "key_of_0.2.0", "added release"},
				{"hot_core", "set_at_run_time", "kept running"},
			} {
				if got := change(p, c.app, c.key); got != c.want {
					t.Errorf("%s %s: %q, want %q", c.app, c.key, got, c.want)
				}
			}
			if strings.Contains(fmt.Sprintf("%+v", p), "a 'b'") {
				t.Error("Prepare tells a value")
			}
			call := func(want string) {
				t.Helper()
				i.want(want, "Elixir.HotElixir.Greeter", "callback", int64(7))
			}
			before := i.eval("application", "get_all_env", etf.Atom("hot_elixir"))
			call(`{<<"0.1.0">>,7,<<"a 'b' ü"/utf8>>}`)
			i.install(j)
			call(`{<<"0.2.0">>,7,<<"a 'b' ü"/utf8>>}`) // the function of the new runtime.exs
			for _, c := range []struct{ app, key, want string }{
				{"hot_elixir", "value", `{ok,<<"a 'b' ü"/utf8>>}`}, {"hot_elixir", "only_in", `{ok,<<"0.2.0">>}`},
				{"hot_elixir", "greeting", `{ok,<<"hello from 0.2.0">>}`}, {"hot_elixir", "resolved_for", `{ok,<<"0.2.0">>}`},
				{"hot_core", "set_at_run_time", atRunTime}, {"hot_core", "key_of_0.1.0", "undefined"}, {"hot_core", "key_of_0.2.0", "{ok,true}"},
			} {
				if got := i.key(etf.Atom(c.app), etf.Atom(c.key)); got != c.want {
					t.Errorf("installed: %s %s = %s, want %s", c.app, c.key, got, c.want)
				}
			}
			i.want("{[callback,greeting,only_in,resolved_for],[],[]}", "persistent_term", "get", etf.Atom("hot_config_change"))
			i.want(`"0.2.0"`, "os", "getenv", etf.Charlist("RELEASE_VSN"))
			i.want(`<<"thing of 0.2.0">>`, "Elixir.HotCore.Thing", "describe") // by the new consolidated protocol
			if err := j.Revert(limited(t), upgrade.Options{}); err != nil {
				t.Fatal(err)
			}
			call(`{<<"0.1.0">>,7,<<"a 'b' ü"/utf8>>}`)
			i.want(`"0.1.0"`, "os", "getenv", etf.Charlist("RELEASE_VSN"))
			for _, key := range []etf.Atom{"value", "only_in", "resolved_for"} {
				if got := i.key("hot_elixir", key); !strings.Contains(before, strings.TrimSuffix(strings.TrimPrefix(got, "{ok,"), "}")) {
					t.Errorf("reverted: %s = %s, before %s", key, got, before)
				}
			}
			if got := i.key("hot_core", "key_of_0.2.0"); got != "undefined" {
				t.Errorf("reverted: a key of the new version is there: %s", got)
			}
		})
	}
}

func TestInstall_KeepsTheEnvironmentOfARelxRelease(t *testing.T) {
	t.Parallel()
	otp := nodetest.WantAny(t)
	i := begin(t, otp, sampletest.HotErlang, "0.1.0", withEnv("HOT_TENANT", "acme"))
	if got := i.key("hot_erlang", "tenant"); got != `{ok,"acme"}` {
		t.Fatalf("tenant = %s", got)
	}
	f := i.key("hot_erlang", "set_at_run_time")
	j := i.job("0.1.0", "0.2.0")
	p := i.prepare(j)
	if got := change(p, "hot_erlang", "set_at_run_time"); got != "kept running" {
		t.Errorf("set_at_run_time: %q", got)
	}
	i.install(j)
	for key, want := range map[etf.Atom]string{
		"tenant": `{ok,"acme"}`, "greeting": `{ok,"hello from 0.2.0"}`, "set_at_run_time": f, "from_app_file": "{ok,true}",
		"key_of_0.1.0": "undefined", "key_of_0.2.0": "{ok,true}",
	} {
		if got := i.key("hot_erlang", key); got != want {
			t.Errorf("%s = %s, want %s", key, got, want)
		}
	}
	i.want(`{[{greeting,"hello from 0.2.0"},{only_in,"0.2.0"}],[{'key_of_0.2.0',true}],['key_of_0.1.0']}`,
		"persistent_term", "get", etf.Atom("hot_config_change"))
	info, err := os.Stat(filepath.Join(i.root(), "releases/0.2.0/sys.config"))
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("sys.config, with values of the environment: %v, %v", info.Mode(), err)
	}
}

// An installation that release_handler refuses halfway leaves versions and environments as they were, though
// release_handler has set the new ones by then.
func TestInstall_RefusedLeavesTheEnvironment(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0", withEnv("HOT_TENANT", "acme"))
	i.eval("hot_counter", "bump")
	j := i.job("0.1.0", "0.2.0")
	i.prepare(j)
	if err := os.Remove(filepath.Join(i.root(), "lib/hot_erlang-0.2.0/ebin/hot_counter.beam")); err != nil {
		t.Fatal(err)
	}
	before := i.eval("application", "get_all_env", etf.Atom("hot_erlang"))
	err := j.Install(limited(t), upgrade.Options{})
	if got := kinds(err); got != "not possible" || !strings.Contains(err.Error(), "no_such_file") {
		t.Errorf("Install = %v (%s)", err, got)
	}
	if after := i.eval("application", "get_all_env", etf.Atom("hot_erlang")); after != before {
		t.Errorf("the environment is\n%s, was\n%s", after, before)
	}
	i.want(`{ok,"0.1.0"}`, "application", "get_key", etf.Atom("hot_erlang"), etf.Atom("vsn"))
	i.want("1", "hot_counter", "state")
	if s := i.look(j); !s.Committed("0.1.0") || s.Failed == "" {
		t.Errorf("%+v", s)
	}
}
