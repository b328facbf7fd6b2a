package launch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// elixir is the contract of a mix release. Its script takes RELEASE_DISTRIBUTION as sname when nothing sets it; the
// release's own env.sh may set it, so it is given only where it must be another.
func (p *Plan) elixir(s Spec, env environment, long bool) {
	p.Path, p.Args = script(s), []string{"start"}
	if long {
		env.set("RELEASE_DISTRIBUTION", "name")
	}
	if s.Cookie != "" {
		env.set("RELEASE_COOKIE", s.Cookie) // else releases/COOKIE
	}
}

// elixirOptions has the elixir script pass on what the distribution needs. The release's own env.sh may set
// ELIXIR_ERL_OPTIONS too, and so may the configuration: one that chooses a distribution protocol keeps it.
func (e environment) elixirOptions(sslOptions string) {
	const key = "ELIXIR_ERL_OPTIONS"
	if sslOptions == "" || strings.Contains(e[key], "-proto_dist") {
		return
	}
	e.set(key, strings.TrimSpace(e[key]+" "+sslOptions))
}

// erlang is the contract of a relx release, whose vm.args.src says -sname (or -name) ${RELEASE_NODE},
// -setcookie ${RELEASE_COOKIE} and ${RELEASE_SSL_OPTIONS}.
func (p *Plan) erlang(s Spec, env environment) {
	p.Path, p.Args = script(s), []string{"foreground"}
	env.set("RELX_REPLACE_OS_VARS", "true")
	env.set("RELEASE_SSL_OPTIONS", s.SSLOptions)
	if s.Cookie != "" {
		env.set("RELEASE_COOKIE", s.Cookie)
	}
}

// restoreHome is the first thing that a gleam instance evaluates. See the package's comment.
const restoreHome = `os:putenv("HOME",os:getenv("BEAMKEEPER_HOME")),os:unsetenv("BEAMKEEPER_HOME")`

// gleam is the contract of what gleam export erlang-shipment makes.
func (p *Plan) gleam(s Spec, env environment, name string, long bool) error {
	ebins, err := shipment(s)
	if err != nil {
		return err
	}
	if p.Path, err = systemErl(s, env["PATH"]); err != nil {
		return err
	}
	p.Args = append([]string{"-pa"}, ebins...)
	if s.Cookie != "" {
		home := filepath.Join(s.runDir(), "home")
		p.Files = append(p.Files, File{Path: filepath.Join(home, ".erlang.cookie"), Mode: 0o400, Content: []byte(s.Cookie)})
		env.set("BEAMKEEPER_HOME", env["HOME"])
		env.set("HOME", home)
		p.Args = append(p.Args, "-eval", restoreHome)
	}
	p.Args = append(p.Args, "-eval", fmt.Sprintf("%s@@main:run(%s)", s.App, s.App), "-noshell")
	p.Args = append(p.Args, strings.Fields(s.SSLOptions)...)
	if long {
		p.Args = append(p.Args, "-name", name)
	} else {
		p.Args = append(p.Args, "-sname", name)
	}
	return nil
}

func script(s Spec) string { return filepath.Join(s.Root, "bin", s.App) }

// checkRoot says what a missing release means.
func checkRoot(root string) error {
	st, err := os.Stat(root)
	if err != nil {
		return fmt.Errorf("no release is unpacked: %w: deploy a version", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is not a directory: remove it and deploy a version", root)
	}
	return nil
}

// checkScript makes sure that the release has its start script and is of the language it is said to be: the commands
// of the two scripts differ, and "start" of a relx one would detach from us.
func checkScript(s Spec) error {
	path := script(s)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the release has no start script: %w (%s): the app must be named as its release, "+
			"or the tarball is of another app", err, binContents(s.Root))
	}
	if err != nil {
		return fmt.Errorf("start script: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return fmt.Errorf("start script: %w", err)
	}
	mix, _ := filepath.Glob(filepath.Join(s.Root, "releases", "*", "elixir")) // the pattern is right
	relx := bytes.Contains(text, []byte("RELX_"))
	switch {
	case s.Language == Elixir && relx && len(mix) == 0:
		return fmt.Errorf("%s is the script of a relx release: set language: erlang", path)
	case s.Language == Erlang && !relx && len(mix) > 0:
		return fmt.Errorf("%s is the script of a mix release: set language: elixir", path)
	}
	return nil
}

func binContents(root string) string {
	entries, err := os.ReadDir(filepath.Join(root, "bin"))
	if err != nil {
		return "it has no bin directory at all"
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) == 0 {
		return "bin is empty"
	}
	return "bin holds " + strings.Join(names, ", ")
}

// shipment returns the ebin directories in order. The tarball holds erlang-shipment, or its contents.
func shipment(s Spec) ([]string, error) {
	base := filepath.Join(s.Root, "erlang-shipment")
	if _, err := os.Stat(base); err != nil {
		base = s.Root
	}
	main := filepath.Join(base, s.App, "ebin", s.App+"@@main.beam")
	if _, err := os.Stat(main); err != nil {
		return nil, fmt.Errorf("the release has no main module: %w: pack the directory that "+
			"gleam export erlang-shipment makes; the app must be named as its package", err)
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return nil, err
	}
	var ebins []string
	for _, e := range entries { // in order of names, as a shell would
		ebin := filepath.Join(base, e.Name(), "ebin")
		if st, err := os.Stat(ebin); err == nil && st.IsDir() {
			ebins = append(ebins, ebin)
		}
	}
	return ebins, nil
}

// systemErl finds erl on the PATH that the instance will have.
func systemErl(s Spec, path string) (string, error) {
	if s.Erl != "" {
		if !executable(s.Erl) {
			return "", fmt.Errorf("erl: %s is no program", s.Erl)
		}
		return s.Erl, nil
	}
	for _, dir := range filepath.SplitList(path) {
		if erl := filepath.Join(dir, "erl"); executable(erl) {
			return erl, nil
		}
	}
	return "", fmt.Errorf("no erl on PATH (%s), which a gleam app needs: install Erlang/OTP (Debian: erlang-base), "+
		"or set PATH in the app's env", path)
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
