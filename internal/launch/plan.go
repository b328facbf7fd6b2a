package launch

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/render"
	"github.com/beamkeeper/beamkeeper/internal/sandbox"
)

// Plan is the command that starts an instance. Printed or logged, it shows neither environment nor files.
type Plan struct {
	Path      string
	Args      []string
	Env       []string // sorted, each key once
	Dir       string
	User      string
	Group     string
	Enter     *sandbox.Entry // nil: the program is started as it is
	Dirs      []Dir          // made by Prepare
	Node      string         // the node's full name, instance@host
	Ports     map[string]int // the instance's own ports
	Files     []File         // written by Prepare
	CrashDump string         // where the BEAM leaves its crash dump
	OwnDump   bool           // that is a place of ours, not one that the configuration names
}

// File is a file that the instance needs before it is started, in a directory of its own.
type File struct {
	Path    string
	Mode    os.FileMode
	Content []byte // may be secret
	User    string // empty: the plan's
	Group   string // empty: the user's
	shared  bool   // not in a directory of its own
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
	dirs, err := s.dirs()
	if err != nil {
		return Plan{}, err
	}
	facts, err := s.facts(full, ports, dirs)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Dir: s.Root, User: s.User, Group: s.Group, Node: full, Ports: ports, Dirs: dirs}
	if s.ReadOnly {
		p.Dirs = append(p.Dirs, Dir{Kind: privateDir, Path: s.runDir(), Mode: 0o700}, Dir{Kind: privateDir, Path: filepath.Join(s.runDir(), "tmp"), Mode: 0o700})
		env.set("RELEASE_TMP", filepath.Join(s.runDir(), "tmp"))        // mix
		env.set("RELX_OUT_FILE_PATH", filepath.Join(s.runDir(), "tmp")) // relx
	}
	env.directories(dirs)
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
	if err := env.configured(s, facts); err != nil {
		return Plan{}, err
	}
	if err := env.secrets(s); err != nil {
		return Plan{}, err
	}
	vmArgs, err := render.Text("vm_args", s.VMArgs, facts)
	if err == nil {
		err = env.vmArgs(vmArgs)
	}
	if err != nil {
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
	if err := p.place(s, facts); err != nil {
		return Plan{}, err
	}
	if err := p.secrets(s); err != nil {
		return Plan{}, err
	}
	p.dump(s, env)
	p.enter(s)
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

// dump says where the crash dump goes and how large it gets. A name that the configuration gives it stays.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_cmd.html, ERL_CRASH_DUMP and its siblings
func (p *Plan) dump(s Spec, env environment) {
	if s.Dump == nil {
		return
	}
	if p.OwnDump = env["ERL_CRASH_DUMP"] == ""; p.OwnDump {
		env.set("ERL_CRASH_DUMP", filepath.Join(s.runDir(), "erl_crash.dump"))
		p.Dirs = append(p.Dirs, Dir{Kind: privateDir, Path: s.runDir(), Mode: 0o700})
	}
	if _, ok := env["ERL_CRASH_DUMP_SECONDS"]; !ok {
		env.set("ERL_CRASH_DUMP_SECONDS", strconv.Itoa(s.Dump.Seconds))
	}
	if _, ok := env["ERL_CRASH_DUMP_BYTES"]; !ok && s.Dump.Bytes > 0 {
		env.set("ERL_CRASH_DUMP_BYTES", strconv.FormatInt(s.Dump.Bytes, 10))
	}
}

// Command is the plan as process.Start takes it, with the files that get its output.
func (p Plan) Command(stdout, stderr string) process.Command {
	return process.Command{Path: p.Path, Args: p.Args, Env: p.Env, Dir: p.Dir, User: p.User, Group: p.Group, Enter: p.Enter, Stdout: stdout, Stderr: stderr}
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

// Prepare makes the plan's folders and writes its files, each whole or not at all, owned by the plan's user unless they
// say otherwise. The release itself, to which start scripts write too (mix: tmp, relx: releases/VERSION/vm.args), must
// belong to that user already, or the description say that it is read-only.
func (p Plan) Prepare() error {
	uid, gid, err := ownerIDs(p.User, p.Group)
	if err != nil {
		return fmt.Errorf("launch: prepare: %w", err)
	}
	for _, d := range p.Dirs {
		if err := makeDir(d, uid, gid); err != nil {
			return fmt.Errorf("launch: prepare: dirs: %s: %w", d.Kind, explainFolder(err))
		}
	}
	for _, f := range p.Files {
		if err := p.write(f); err != nil {
			return fmt.Errorf("launch: prepare: %w", explainFolder(err))
		}
	}
	return nil
}

// explainFolder says what to do about a folder that cannot be made.
func explainFolder(err error) error {
	if errors.Is(err, os.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%w: the daemon is not root: give it a path in a folder of uid %d, or make the folder", err, os.Geteuid())
	}
	return err
}

func (p Plan) write(f File) error {
	if f.User == "" {
		f.User = p.User
		if f.Group == "" {
			f.Group = p.Group
		}
	}
	uid, gid, err := ownerIDs(f.User, f.Group)
	if err != nil {
		return err
	}
	if !f.shared {
		if err := makeDir(Dir{Path: filepath.Dir(f.Path), Mode: 0o700}, uid, gid); err != nil {
			return err
		}
	}
	return putFile(f.Path, f.Content, f.Mode, uid, gid)
}

// ownerIDs looks up to whom files are given; -1 is us, for a daemon that is not root too: Start says that another user
// needs root.
func ownerIDs(user, group string) (uid, gid int, err error) {
	uid, gid = -1, -1
	if os.Geteuid() != 0 {
		return uid, gid, nil
	}
	if user != "" {
		a, err := process.LookupAccount(user)
		if err != nil {
			return uid, gid, err
		}
		uid, gid = int(a.UID), int(a.GID)
	}
	if group != "" {
		if gid, err = process.LookupGroup(group); err != nil {
			return uid, gid, err
		}
	}
	return uid, gid, nil
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
