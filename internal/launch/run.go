package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/process"
)

// BuildRun makes the plan of a command that is run to its end in the environment that an instance of s would have, from
// its unpacked release, beside whatever instances run: s.Instance is a name of its own, and no distribution is set up by
// us. The plan's environment marks no instance; mark becomes BEAMKEEPER_RUN, by which process.Run ends it.
//
//	elixir   eval EXPR, rpc EXPR   bin/APP eval EXPR: all after the first word is one argument
//	         WORD …                bin/APP WORD …
//	erlang   eval EXPR             the release's erl, its code path and its sys.config; EXPR is Erlang
//	         WORD …                bin/APP WORD …
//	gleam    eval EXPR             the erl that starts the instances; EXPR is Erlang
//
// No shell is involved. An EXPR in quotes, as a shell would want it, loses them.
func BuildRun(s Spec, command, mark string) (Plan, error) {
	s.SSLOptions, s.Dump = "", nil
	if s.Language == Gleam {
		s.Cookie = "" // it needs none, and the file with it would be made for nothing
	}
	p, err := build(s)
	if err == nil {
		err = p.run(s, command)
	}
	if err != nil {
		return Plan{}, fmt.Errorf("launch: run %q: %w", command, err)
	}
	env := environment{}
	for _, kv := range p.Env {
		key, value, _ := strings.Cut(kv, "=")
		env[key] = value
	}
	delete(env, process.EnvInstance)
	delete(env, process.EnvApp)
	delete(env, process.EnvNode)
	env[process.EnvRun] = mark
	if env["ERL_CRASH_DUMP_SECONDS"] == "" {
		env["ERL_CRASH_DUMP_SECONDS"] = "0" // that it failed is told by what it printed
	}
	p.Env = env.list()
	return p, nil
}

// run makes the plan one of a command.
func (p *Plan) run(s Spec, command string) error {
	word, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
	rest = unquote(strings.TrimSpace(rest))
	one := word == "eval" || word == "rpc" && s.Language == Elixir
	switch {
	case word == "":
		return errors.New("it is empty")
	case one && rest == "":
		return fmt.Errorf("%s needs an expression", word)
	case s.Language == Elixir && one:
		p.Args = []string{word, rest}
	case s.Language == Gleam && !one:
		return errors.New("a gleam app has no start script: write eval, then Erlang, such as eval 'shop@migrate':run()")
	case one:
		return p.eval(s, rest)
	default:
		p.Args = strings.Fields(command)
	}
	return nil
}

// EvalOf writes a call in Erlang as the command that runs it in a release of the language.
func EvalOf(language Language, call string) string {
	if language != Elixir {
		return "eval " + call
	}
	var codes []string // no text of it has to survive quoting
	for _, r := range strings.TrimSuffix(strings.TrimSpace(call), ".") + "." {
		codes = append(codes, fmt.Sprint(int(r)))
	}
	return "eval {:ok, t, _} = :erl_scan.string([" + strings.Join(codes, ",") + "]); {:ok, e} = :erl_parse.parse_exprs(t); " +
		"{:value, v, _} = :erl_eval.exprs(e, []); :io.format('~tp~n', [v])"
}

// evaluation prints what an expression gives, or what it raised, and says by the exit code which it was.
const evaluation = `try begin %s
end of Beamkeeper_Value -> io:format("~tp~n", [Beamkeeper_Value]), erlang:halt(0)
catch Beamkeeper_Class:Beamkeeper_Reason:Beamkeeper_Stack ->
io:format(standard_error, "~p: ~tp~n~tp~n", [Beamkeeper_Class, Beamkeeper_Reason, Beamkeeper_Stack]), erlang:halt(1) end.`

// eval runs an Erlang expression in a BEAM without distribution that has started nothing of the release.
func (p *Plan) eval(s Spec, expression string) error {
	expression = fmt.Sprintf(evaluation, strings.TrimSuffix(strings.TrimSpace(expression), "."))
	env := environment{}
	for _, kv := range p.Env {
		key, value, _ := strings.Cut(kv, "=")
		env[key] = value
	}
	var ebins []string
	var err error
	if s.Language == Gleam {
		ebins, err = shipment(s)
	} else {
		ebins, err = filepath.Glob(filepath.Join(s.Root, "lib", "*", "ebin"))
	}
	if err != nil {
		return err
	}
	args := []string{"-noshell", "-noinput", "-mode", "interactive"}
	if erts, own := ownERTS(s.Root); own && s.Language == Erlang {
		p.Path = filepath.Join(erts, "erlexec") // as the release's script does it
		env.set("ROOTDIR", s.Root)
		env.set("BINDIR", erts)
		env.set("EMU", "beam")
		env.set("PROGNAME", "erl")
	} else if p.Path, err = systemErl(s, env["PATH"]); err != nil {
		return err
	}
	if dir, ok := versionDir(s.Root); ok && s.Language == Erlang {
		if _, err := os.Stat(filepath.Join(dir, "start_clean.boot")); err == nil && env["ROOTDIR"] != "" {
			args = append(args, "-boot", filepath.Join(dir, "start_clean"), "-boot_var", "ERTS_LIB_DIR", filepath.Join(s.Root, "lib"))
		}
		if _, err := os.Stat(filepath.Join(dir, "sys.config")); err == nil {
			args = append(args, "-config", filepath.Join(dir, "sys"))
		}
	}
	p.Args = append(append(append(args, "-pa"), ebins...), "-eval", expression)
	p.Env = env.list()
	return nil
}

// ownERTS is the folder of the programs of the release's own ERTS.
func ownERTS(root string) (string, bool) {
	found, _ := filepath.Glob(filepath.Join(root, "erts-*", "bin", "erlexec")) // the pattern is right
	if len(found) == 0 {
		return "", false
	}
	return filepath.Dir(found[len(found)-1]), true
}

// versionDir is the folder of the version that the release starts.
func versionDir(root string) (string, bool) {
	b, err := fs.ReadFile(os.DirFS(root), "releases/start_erl.data")
	words := strings.Fields(string(b))
	if err != nil || len(words) < 2 || strings.ContainsRune(words[1], '/') {
		return "", false
	}
	return filepath.Join(root, "releases", words[1]), true
}

// unquote takes off the quotes that a command needs only where a shell reads it.
func unquote(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '\'' && s[0] != '"' {
		return s
	}
	inner := s[1 : len(s)-1]
	if s[0] == '\'' {
		if strings.ContainsRune(inner, '\'') {
			return s
		}
		return inner
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"':
			return s
		case c == '\\' && i+1 < len(inner) && strings.IndexByte("\"\\$`", inner[i+1]) >= 0:
			i++
			b.WriteByte(inner[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Inherited is what instances, and what is run for them, get of the daemon's own environment.
func Inherited(base []string) []string {
	env := environment{"PATH": defaultPath}
	for _, kv := range base {
		if key, value, _ := strings.Cut(kv, "="); inherited(key) && value != "" {
			env.set(key, value)
		}
	}
	return env.list()
}
