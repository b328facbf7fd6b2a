package launch

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

func TestUnquote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`Shop.migrate`:         `Shop.migrate`,
		`"Shop.migrate(:a)"`:   `Shop.migrate(:a)`,
		`'Shop.put("a b")'`:    `Shop.put("a b")`,
		`"Shop.put(\"a b\")"`:  `Shop.put("a b")`,
		`"a" <> "b"`:           `"a" <> "b"`,
		`'Elixir.Shop':run(a)`: `'Elixir.Shop':run(a)`,
		`"`:                    `"`,
		``:                     ``,
	} {
		if got := unquote(in); got != want {
			t.Errorf("unquote(%s) = %s, want %s", in, got, want)
		}
	}
}

// Commands run in real releases, each in the words of its language.
func TestBuildRun_RealReleases(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		language, command, want string
		code                    int
	}{
		{"elixir", `eval IO.puts(System.get_env("WORD") <> inspect(node()) <> System.get_env("RELEASE_NODE"))`, "a b:nonode@nohostsample_elixir-before\n", 0},
		{"elixir", `eval "IO.puts(\"quoted\")"`, "quoted\n", 0},
		{"elixir", `eval raise "oh no"`, "oh no", 1},
		{"elixir", EvalOf(Elixir, `lists:map(fun(X) -> {X, "it's"} end, [1,2]).`), "[{1,\"it's\"},{2,\"it's\"}]\n", 0},
		{"elixir", `version`, "sample_elixir 0.1.0\n", 0},
		{"erlang", `eval application:load(sample), io:format("~s ~p ~p~n", [os:getenv("WORD"), node(), application:get_env(sample, greeting)]).`, "a b nonode@nohost {ok,\"hello from 0.1.0\"}\nok\n", 0},
		{"erlang", `eval 'code:ensure_loaded(sample_counter).'`, "{module,sample_counter}\n", 0},
		{"erlang", `eval error(oh_no)`, "error: oh_no", 1},
		{"erlang", `eval no such Erlang(`, "syntax error", 1},
		{"gleam", `eval code:ensure_loaded(sample_gleam).`, "{module,sample_gleam}\n", 0},
	} {
		t.Run(tt.language+" "+tt.command[:min(len(tt.command), 24)], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			app := sampletest.AppName(tt.language)
			root := filepath.Join(dir, "current")
			out, err := exec.Command("sh", "-c", `mkdir "$1" && tar -xzf "$2" -C "$1"`, "sh", root, sampletest.Build(t, tt.language, "0.1.0")).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			p, err := BuildRun(Spec{App: app, Instance: app + "-before", Language: Language(tt.language), Root: root, Cookie: "secret",
				SSLOptions: "-proto_dist inet_tls", Env: []Var{{"WORD", "a b"}}, BaseEnv: os.Environ(), Daemon: "bk@localhost"}, tt.command, dir)
			if err == nil {
				err = p.Prepare()
			}
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(p.Env, func(kv string) bool {
				return strings.HasPrefix(kv, process.EnvInstance+"=") || strings.HasPrefix(kv, process.EnvNode+"=")
			}) {
				t.Errorf("the environment is an instance's: %q", p.Env)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var b bytes.Buffer
			e, err := process.Run(ctx, p.Command("", ""), nil, &b)
			if err != nil || e.Code != tt.code || tt.code == 0 && b.String() != tt.want || !strings.Contains(b.String(), tt.want) {
				t.Errorf("%v: exit %v, %v: %s", p, e, err, &b)
			}
		})
	}
}

func TestBuildRun_Refuses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, command := range []string{"", " ", "eval", "eval  "} {
		p := Plan{}
		if err := p.run(Spec{App: "shop", Root: root, Language: Elixir}, command); err == nil {
			t.Errorf("%q is taken: %v", command, p)
		}
	}
	p := Plan{}
	if err := p.run(Spec{App: "shop", Root: root, Language: Gleam}, "migrate now"); err == nil || !strings.Contains(err.Error(), "eval") {
		t.Errorf("gleam: %v", err)
	}
}
