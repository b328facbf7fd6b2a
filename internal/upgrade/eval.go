package upgrade

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

//go:embed erlang/*.erl
var sources embed.FS

var stripped sync.Map // by name: the expressions of erlang/NAME.erl without comments

// source is the expressions of erlang/name.erl.
func source(name string) string {
	if text, ok := stripped.Load(name); ok {
		return text.(string)
	}
	b, err := sources.ReadFile("erlang/" + name + ".erl")
	if err != nil {
		panic(err) // it is embedded
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "%%") {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, "\n")
	stripped.Store(name, text)
	return text
}

// binding is a variable of expressions that are evaluated on a node.
type binding struct {
	name  etf.Atom
	value etf.Term
}

// forms is one expression, as erl_eval takes it, that scans, parses and evaluates the text: one call does all, the node
// needs nothing but stdlib, and what is parsed is parsed by the node's own OTP. bound is an expression for the bindings
// of the text.
func forms(text string, bound etf.Term) etf.List {
	scanned := second(remote("erl_scan", "string", etf.Tuple{etf.Atom("string"), line, erlangString(text)}))
	parsed := second(remote("erl_parse", "parse_exprs", scanned))
	return etf.List{second(remote("erl_eval", "exprs", parsed, bound))}
}

// unbound are no bindings.
var unbound = etf.Tuple{etf.Atom("nil"), line}

const line = int64(1)

func remote(mod, fun etf.Atom, args ...etf.Term) etf.Term {
	name := etf.Tuple{etf.Atom("remote"), line, etf.Tuple{etf.Atom("atom"), line, mod}, etf.Tuple{etf.Atom("atom"), line, fun}}
	return etf.Tuple{etf.Atom("call"), line, name, etf.List(args)}
}

// second is element(2, Term).
func second(t etf.Term) etf.Term {
	return remote("erlang", "element", etf.Tuple{etf.Atom("integer"), line, int64(2)}, t)
}

// evaluate runs the expressions of erlang/name.erl on the node and returns the value of the last.
func evaluate(ctx context.Context, n Node, name string, bindings ...binding) (etf.Term, error) {
	return evaluateText(ctx, n, source(name), bindings...)
}

func evaluateText(ctx context.Context, n Node, text string, bindings ...binding) (etf.Term, error) {
	slices.SortFunc(bindings, func(a, b binding) int { return strings.Compare(string(a.name), string(b.name)) })
	inner := etf.List{} // an orddict
	for _, b := range bindings {
		inner = append(inner, etf.Tuple{b.name, b.value})
	}
	bound := etf.Atom("Bound")
	v, err := n.Call(ctx, "erl_eval", "exprs", forms(text, etf.Tuple{etf.Atom("var"), line, bound}), etf.List{etf.Tuple{bound, inner}})
	if err != nil {
		return nil, err
	}
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 3 || t[0] != etf.Term(etf.Atom("value")) {
		return nil, fmt.Errorf("erl_eval answered %.200s", etf.Format(v))
	}
	return t[1], nil
}

// erlangString is a string as a list of code points: what release_handler takes where it wants string().
func erlangString(s string) etf.List {
	list := make(etf.List, 0, len(s))
	for _, r := range s {
		list = append(list, int64(r))
	}
	return list
}

// exception says whether the node answered, with an exception.
func exception(err error) (*node.CallError, bool) {
	var e *node.CallError
	ok := errors.As(err, &e)
	return e, ok
}

// brief is a term in words that a person reads, cut: it may hold whatever a process had in its state.
func brief(t etf.Term) string {
	s := etf.Format(t)
	const most = 600
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func text(t etf.Term) string {
	s, _ := etf.Text(t)
	return s
}
