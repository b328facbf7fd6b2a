package launch

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/process"
)

// Plan is the command that starts an instance. Printed or logged, it shows neither environment nor files.
type Plan struct {
	Path      string
	Args      []string
	Env       []string // sorted, each key once
	Dir       string
	User      string
	Node      string         // the node's full name, instance@host
	Ports     map[string]int // the instance's own ports
	Files     []File         // written by Prepare
	CrashDump string         // where the BEAM leaves its crash dump
}

// File is a file that the instance needs before it is started, in a directory of its own.
type File struct {
	Path    string
	Mode    os.FileMode
	Content []byte // may be secret
}

// Build makes the plan of s. It looks at the disk (is the release's start script there?) but changes nothing.
//
// The error names the path that is missing and what to do.
func Build(s Spec) (Plan, error) {
	p, err := build(s)
	if err != nil {
		return Plan{}, fmt.Errorf("launch: %q: %w", s.Instance, err)
	}
	return p, nil
}

func build(s Spec) (Plan, error) {
	if err := s.check(); err != nil {
		return Plan{}, err
	}
	full, given, long, err := s.nodeName()
	if err != nil {
		return Plan{}, err
	}
	ports, err := s.ports()
	if err != nil {
		return Plan{}, err
	}
	if err := checkRoot(s.Root); err != nil {
		return Plan{}, err
	}
	env, err := baseEnvironment(s)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Dir: s.Root, User: s.User, Node: full, Ports: ports}
	switch s.Language {
	case Elixir:
		p.elixir(s, env, long)
	case Erlang:
		p.erlang(s, env)
	case Gleam:
		// its arguments need the whole environment, below
	default:
		return Plan{}, fmt.Errorf("language %q is none of elixir, erlang, gleam", s.Language)
	}
	if err := env.configured(s, ports); err != nil {
		return Plan{}, err
	}
	if s.Language == Elixir {
		env.elixirOptions(s.SSLOptions)
	}
	if s.Language == Gleam {
		err = p.gleam(s, env, given, long)
	} else {
		env.set("RELEASE_NODE", given)
		err = checkScript(s)
	}
	if err != nil {
		return Plan{}, err
	}
	env.set(process.EnvInstance, s.Instance)
	env.set(process.EnvApp, s.App)
	env.set(process.EnvNode, s.Daemon)
	p.Env = env.list()
	p.CrashDump = filepath.Join(s.Root, "erl_crash.dump") // all three run in Root
	if dump := env["ERL_CRASH_DUMP"]; dump != "" {
		p.CrashDump = dump
		if !filepath.IsAbs(dump) {
			p.CrashDump = filepath.Join(s.Root, dump)
		}
	}
	return p, nil
}

// Command is the plan as process.Start takes it, with the files that get its output.
func (p Plan) Command(stdout, stderr string) process.Command {
	return process.Command{Path: p.Path, Args: p.Args, Env: p.Env, Dir: p.Dir, User: p.User, Stdout: stdout, Stderr: stderr}
}

// Lookup returns a variable of the instance's environment.
func (p Plan) Lookup(key string) (string, bool) {
	for _, kv := range p.Env {
		if k, v, _ := strings.Cut(kv, "="); k == key {
			return v, true
		}
	}
	return "", false
}

// Expand replaces each ${NAME} in text by the instance's variable of that name (ports included). Any other $ stays.
// A name the instance does not have is an error.
func (p Plan) Expand(text string) (string, error) {
	var b strings.Builder
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, end, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("launch: expand %q: ${ without }", text)
		}
		value, ok := p.Lookup(name)
		if !ok {
			return "", fmt.Errorf("launch: expand %q: no variable %q in the instance's environment (replica_ports: %s)",
				text, name, p.portNames())
		}
		b.WriteString(value)
		rest = end
	}
}

func (p Plan) portNames() string {
	if len(p.Ports) == 0 {
		return "none"
	}
	var names []string
	for name := range p.Ports {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Prepare writes the plan's files, whole or not at all, owned by the plan's user. The release itself, to which start
// scripts write too (mix: tmp, relx: releases/VERSION/vm.args), must belong to that user already.
func (p Plan) Prepare() error {
	for _, f := range p.Files {
		if err := p.write(f); err != nil {
			return fmt.Errorf("launch: prepare: %w", err)
		}
	}
	return nil
}

func (p Plan) write(f File) error {
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	temp, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // renamed, if all went well
	_, err = temp.Write(f.Content)
	if err == nil {
		err = temp.Chmod(f.Mode)
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := p.own(dir, temp.Name()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.Path)
}

// own gives paths to the plan's user; with none, and where we have not the right to, they stay ours.
func (p Plan) own(paths ...string) error {
	if p.User == "" || os.Geteuid() != 0 {
		return nil // Start says that another user needs root
	}
	a, err := process.LookupAccount(p.User)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.Lchown(path, int(a.UID), int(a.GID)); err != nil {
			return err
		}
	}
	return nil
}

// String shows no environment, which may hold secrets.
func (p Plan) String() string {
	return fmt.Sprintf("%s %q (node %s, in %s)", p.Path, p.Args, p.Node, p.Dir)
}

// GoString is String: %#v shows no secrets either.
func (p Plan) GoString() string { return p.String() }

// LogValue implements slog.LogValuer.
func (p Plan) LogValue() slog.Value {
	return slog.GroupValue(slog.String("path", p.Path), slog.Any("args", p.Args), slog.String("node", p.Node),
		slog.String("dir", p.Dir))
}
