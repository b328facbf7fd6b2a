package upgrade

import (
	"context"
	"regexp"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
)

// variable is ${NAME} or ${NAME:-default} in a sys.config.src, as relx's start script replaces them.
//
// Source: https://rebar3.org/docs/deployment/releases/
var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:-((?:[^{}])*))?\}`)

// render replaces the variables of a sys.config.src by the environment of the node, which is the one that its start
// script had.
func render(ctx context.Context, n Node, src []byte) ([]byte, error) {
	values := make(map[string]string)
	for _, m := range variable.FindAllSubmatch(src, -1) {
		name := string(m[1])
		if _, ok := values[name]; ok {
			continue
		}
		v, err := n.Call(ctx, "os", "getenv", erlangString(name), erlangString(""))
		if err != nil {
			return nil, err
		}
		values[name] = text(v)
	}
	return variable.ReplaceAllFunc(src, func(b []byte) []byte {
		m := variable.FindSubmatch(b)
		if v := values[string(m[1])]; v != "" {
			return []byte(v)
		}
		return m[3]
	}), nil
}

// config returns the sys.config of a version in Root as its start script makes it, and whether it was made from a
// template.
func (j Job) config(ctx context.Context, f *folder, version string) ([]byte, bool, error) {
	dir := versionDir(version)
	if f.exists(dir + "/sys.config.src") {
		src, err := f.read(dir + "/sys.config.src")
		if err != nil {
			return nil, false, err
		}
		b, err := render(ctx, j.Node, src)
		if err != nil {
			return nil, false, j.called("", "config", err)
		}
		return b, true, nil
	}
	name := dir + "/sys.config"
	if f.exists(name + ".orig") {
		name += ".orig" // what the script of relx found, before it replaced variables in place
	}
	if !f.exists(name) {
		return []byte("[]."), false, nil
	}
	b, err := f.read(name)
	if err == nil && j.Language == "erlang" && variable.Match(b) {
		if b, err = render(ctx, j.Node, b); err != nil {
			return nil, false, j.called("", "config", err)
		}
		return b, true, nil
	}
	return b, false, err
}

// resolve works out on the node what the environments become on the way from one version to the other, and keeps it
// there for the instruction that sets them.
func (j Job) resolve(ctx context.Context, f *folder, from, to string) ([]EnvChange, error) {
	version := func(v string) (etf.Tuple, error) {
		boot, err := f.read(versionDir(v) + "/start.boot")
		if err != nil {
			return nil, err
		}
		config, _, err := j.config(ctx, f, v)
		return etf.Tuple{erlangString(v), etf.Binary(boot), etf.Binary(config)}, err
	}
	current, err := version(from)
	if err != nil {
		return nil, err
	}
	target, err := version(to)
	if err != nil {
		return nil, err
	}
	if _, err := evaluate(ctx, j.Node, "keeper"); err != nil {
		return nil, j.called("", "keeper", err)
	}
	v, err := evaluate(ctx, j.Node, "resolve", binding{"Current", current}, binding{"Target", target})
	if err != nil {
		return nil, j.called("", "config", err)
	}
	rows, _ := v.(etf.List)
	var changes []EnvChange
	for _, e := range rows {
		if r, ok := e.(etf.Tuple); ok && len(r) == 4 {
			key := text(r[1])
			if key == "" || strings.ContainsAny(key, "\n") {
				key = brief(r[1])
			}
			changes = append(changes, EnvChange{App: text(r[0]), Key: strings.TrimPrefix(key, "Elixir."), Change: text(r[2]), Source: text(r[3])})
		}
	}
	return changes, nil
}
