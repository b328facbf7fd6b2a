package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/release"
)

// relup is the instructions between two versions.
//
// Source: https://www.erlang.org/doc/apps/sasl/relup.html
type relup struct {
	up, down   etf.List // instructions; down nil: there is no way back
	source     string
	whyNotDown string
}

// shippedRelup reads the relup of a release, if it leads from the running version.
func (j Job) shippedRelup(b []byte) (relup, bool, error) {
	terms, err := etf.Consult("relup", b)
	if err == nil && len(terms) != 1 {
		err = fmt.Errorf("%d terms, where there should be one", len(terms))
	}
	if err != nil {
		return relup{}, false, fmt.Errorf("the release's relup cannot be read: %w", err)
	}
	r, ok := j.readRelup(terms[0])
	r.source = "shipped"
	return r, ok, nil
}

// readRelup takes the instructions between the versions out of {Vsn, [{From, Descr, Script}], [{To, Descr, Script}]}.
func (j Job) readRelup(t etf.Term) (relup, bool) {
	v, ok := t.(etf.Tuple)
	if !ok || len(v) != 3 || text(v[0]) != j.To {
		return relup{}, false
	}
	r := relup{up: scriptFor(v[1], j.From), down: scriptFor(v[2], j.From)}
	if r.down == nil {
		r.whyNotDown = "the relup has no instructions for the way back to " + j.From
	}
	return r, r.up != nil
}

func scriptFor(t etf.Term, version string) etf.List {
	list, _ := t.(etf.List)
	for _, e := range list {
		if s, ok := e.(etf.Tuple); ok && len(s) == 3 && text(s[0]) == version {
			script, _ := s[2].(etf.List)
			return script
		}
	}
	return nil
}

// makeRelup has systools make the relup of the releases in Root from their appups: in the node, or by an erl of the host.
func (j Job) makeRelup(ctx context.Context) (relup, error) {
	v, err := j.systools(ctx, true)
	source := "appups"
	if errors.Is(err, ErrNotPossible) && j.Erl != "" { // systools raised, or is not there
		source = "appups, offline"
		v, err = j.systoolsOffline(ctx, true)
	}
	if err != nil {
		return relup{}, err
	}
	t, reason, ok := systoolsResult(v)
	why := ""
	if !ok { // an appup may lead up and not down
		if source == "appups" {
			v, err = j.systools(ctx, false)
		} else {
			v, err = j.systoolsOffline(ctx, false)
		}
		if err != nil {
			return relup{}, err
		}
		why = reason
		if t, _, ok = systoolsResult(v); !ok {
			return relup{}, j.fault("prepare", ErrNotPossible, "relup", fmt.Errorf("no relup can be made: %s", reason))
		}
	}
	r, ok := j.readRelup(t)
	if !ok {
		return relup{}, j.fault("prepare", ErrNotPossible, "relup", fmt.Errorf("the relup that systools made is not understood: %s", brief(t)))
	}
	r.source = source
	if r.down == nil {
		r.whyNotDown = why
	}
	return r, nil
}

// systoolsCall evaluates to {ok, Relup} or {error, Text}. noexec: nothing is written.
const systoolsCall = `
Rel = fun(V) -> filename:join([Root, "releases", V, Name]) end,
case systools:make_relup(Rel(To), [Rel(From)], case Down of true -> [Rel(From)]; false -> [] end,
        [silent, noexec, {path, [filename:join([Root, "lib", "*", "ebin"])]}]) of
    {ok, Relup, _, _} -> {ok, Relup};
    {ok, Relup} -> {ok, Relup};
    {error, Module, Error} -> {error, lists:flatten(Module:format_error(Error))};
    Else -> {error, lists:flatten(io_lib:format("~tp", [Else]))}
end.`

func (j Job) systools(ctx context.Context, down bool) (etf.Term, error) {
	v, err := evaluateText(ctx, j.Node, systoolsCall, binding{"Root", erlangString(j.Root)}, binding{"Name", erlangString(j.Name)},
		binding{"From", erlangString(j.From)}, binding{"To", erlangString(j.To)}, binding{"Down", down})
	if err != nil {
		return nil, j.called("prepare", "systools", err)
	}
	return v, nil
}

// systoolsOffline is the same by an erl of the host, which reads the files of Root only.
func (j Job) systoolsOffline(ctx context.Context, down bool) (etf.Term, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	code := fmt.Sprintf("[Root, Name, From, To] = init:get_plain_arguments(), Down = %v, Result = begin %s end, "+
		`io:format("~n~~~~result~n~0tp.~n", [Result]), halt().`, down, strings.TrimSuffix(systoolsCall, "."))
	code = strings.ReplaceAll(code, "~~~~", "~~")
	cmd := exec.CommandContext(ctx, j.Erl, "-noshell", "-noinput", "+pc", "unicode", "-eval", code, "-extra", j.Root, j.Name, j.From, j.To)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, j.fault("prepare", ErrNotPossible, "systools", fmt.Errorf("%s: %w", j.Erl, err))
	}
	_, after, ok := strings.Cut(string(out), "~result\n")
	if !ok {
		return nil, j.fault("prepare", ErrNotPossible, "systools", fmt.Errorf("%s printed %.300q", j.Erl, out))
	}
	terms, err := etf.Consult("relup", []byte(after))
	if err != nil || len(terms) != 1 {
		return nil, j.fault("prepare", ErrNotPossible, "systools", errors.Join(errors.New("its relup is not understood"), err))
	}
	return terms[0], nil
}

func systoolsResult(v etf.Term) (t etf.Term, reason string, ok bool) {
	r, isTuple := v.(etf.Tuple)
	if !isTuple || len(r) != 2 {
		return nil, brief(v), false
	}
	if r[0] == etf.Term(etf.Atom("ok")) {
		return r[1], "", true
	}
	return nil, strings.Join(strings.Fields(text(r[1])), " "), false
}

// check refuses what an upgrade of a running BEAM cannot be.
func (r *relup) check() error {
	for _, i := range r.up {
		if a, ok := i.(etf.Atom); ok && (a == "restart_emulator" || a == "restart_new_emulator") {
			return fmt.Errorf("its instructions restart the emulator (%s)", a)
		}
	}
	for _, i := range r.down {
		if a, ok := i.(etf.Atom); ok && (a == "restart_emulator" || a == "restart_new_emulator") {
			r.down, r.whyNotDown = nil, "the instructions for the way back restart the emulator"
			break
		}
	}
	return nil
}

// apply is an instruction that evaluates expressions.
func apply(text string) etf.Term {
	return etf.Tuple{etf.Atom("apply"), etf.Tuple{etf.Atom("erl_eval"), etf.Atom("exprs"), etf.List{forms(text, unbound), etf.List{}}}}
}

// completed adds the instruction that sets the environments, behind the point of no return: what is before it is
// executed by a mere check too. A release of Elixir also gets its consolidated protocols, behind the last module.
func (j Job) completed(script etf.List, from, to string) etf.List {
	at := slices.IndexFunc(script, func(t etf.Term) bool { return t == etf.Term(etf.Atom("point_of_no_return")) })
	all := slices.Insert(slices.Clone(script), at+1, apply(source("environment"))) // without one, all of it is behind
	if j.Language != release.Elixir {
		return all
	}
	last := len(all)
	for i, t := range all {
		if t, ok := t.(etf.Tuple); ok && (t[0] == etf.Term(etf.Atom("load")) || t[0] == etf.Term(etf.Atom("remove"))) {
			last = i + 1
		}
	}
	versions := fmt.Sprintf("From = %s, To = %s,\n", etf.Format(erlangString(from)), etf.Format(erlangString(to)))
	return slices.Insert(all, last, apply(versions+source("protocols")))
}

// file is the relup as release_handler reads it.
func (r relup) file(j Job) []byte {
	entry := func(script etf.List, from, to string) etf.List {
		if script == nil {
			return etf.List{}
		}
		return etf.List{etf.Tuple{erlangString(j.From), etf.List{}, j.completed(script, from, to)}}
	}
	t := etf.Tuple{erlangString(j.To), entry(r.up, j.From, j.To), entry(r.down, j.To, j.From)}
	return fmt.Appendf(nil, "%%%% coding: utf-8\n%s.\n", etf.Format(t))
}

// steps are the instructions as a person reads them.
func (r relup) steps() []string {
	var list []string
	for _, i := range r.up {
		list = append(list, brief(i))
	}
	return list
}

// suspended are the modules whose processes are suspended, touched those that are loaded or removed: a process in an
// older version of one of these is killed.
func (r relup) modules() (suspended, touched []string) {
	for _, i := range r.up {
		t, ok := i.(etf.Tuple)
		if !ok || len(t) != 2 {
			continue
		}
		switch op, _ := t[0].(etf.Atom); op {
		case "suspend":
			list, _ := t[1].(etf.List)
			for _, m := range list {
				if pair, ok := m.(etf.Tuple); ok && len(pair) == 2 {
					m = pair[0]
				}
				suspended = append(suspended, text(m))
			}
		case "load", "remove":
			if m, ok := t[1].(etf.Tuple); ok && len(m) == 3 {
				touched = append(touched, text(m[0]))
			}
		}
	}
	return suspended, touched
}

// findAppup returns the appup of an application of the new release, where its tool put it: ebin (Jellyfish, plain) or
// priv/appup (rebar3), under the application's name or another. dir is the application's folder; empty: there is none.
func findAppup(dir, app string) string {
	own := filepath.Join(dir, "ebin", app+".appup")
	candidates := []string{own, filepath.Join(dir, "priv", "appup", app+".appup"), filepath.Join(dir, "priv", app+".appup")}
	for _, pattern := range []string{"ebin/*.appup", "priv/appup/*.appup"} {
		found, _ := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern))) // the pattern is well-formed
		if len(found) == 1 {
			candidates = append(candidates, found[0])
		}
	}
	for _, c := range candidates {
		if isFile(c) {
			return c
		}
	}
	return ""
}

func libDir(app, version string) string { return path.Join("lib", app+"-"+version) }
