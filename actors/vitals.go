package actors

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/node"
)

// Samples of the minutes before a hot upgrade.
const (
	vitalsEvery = 30 * time.Second
	vitalsKept  = 10
	vitalsMost  = 5000 // processes whose mailboxes are looked at, and children of supervisors
)

// vitalsSource is what a node evaluates for its vitals: {Memory, Queue, [{Hash, Pid}]}. Only OTP's own modules are used.
const vitalsSource = `(fun() ->
  Queue = lists:foldl(fun(P, N) ->
    case erlang:process_info(P, message_queue_len) of {_, L} -> N + L; _ -> N end end,
    0, lists:sublist(erlang:processes(), Most)),
  Walk = fun W(_, _, {Left, Acc}) when Left =< 0 -> {0, Acc};
    W(Sup, Path, {Left, Acc}) ->
      case catch gen_server:call(Sup, which_children, 1000) of
        Cs when is_list(Cs), length(Cs) =< 1000 ->
          lists:foldl(fun
            ({Id, Pid, T, _}, {L, A}) when Id =/= undefined, is_pid(Pid) ->
              Here = [Id | Path],
              Next = {L - 1, [{erlang:phash2(Here, 1 bsl 32), Pid} | A]},
              case T of supervisor -> W(Pid, Here, Next); _ -> Next end;
            (_, Other) -> Other end, {Left - 1, Acc}, Cs);
        _ -> {Left - 1, Acc}
      end end,
  {_, Children} = case Deep of
    false -> {0, []};
    true -> lists:foldl(fun({App, _, _}, Acc) ->
      case lists:member(App, [kernel, stdlib]) orelse application_controller:get_master(App) of
        true -> Acc;
        undefined -> Acc;
        Master -> case catch application_master:get_child(Master) of
          {Sup, _} when is_pid(Sup) -> Walk(Sup, [App], Acc);
          _ -> Acc end
      end end, {Most, []}, application:which_applications())
  end,
  {erlang:memory(total), Queue, Children} end)().`

// take asks a node for its vitals; deep asks for the children of its supervisors too.
func (parsed *parsedVitals) take(ctx context.Context, c Cluster, peer node.Name, deep bool) (vitals, error) {
	forms, err := parsed.of(ctx, c, peer)
	if err != nil {
		return vitals{}, err
	}
	flag := etf.Atom("false")
	if deep {
		flag = "true"
	}
	bindings := etf.List{etf.Tuple{etf.Atom("Deep"), flag}, etf.Tuple{etf.Atom("Most"), int64(vitalsMost)}}
	t, err := c.Call(ctx, peer, "erl_eval", "exprs", forms, bindings)
	if err != nil {
		return vitals{}, err
	}
	v, ok := readVitals(t)
	if !ok {
		return vitals{}, fmt.Errorf("vitals of %s: %s", peer, short(etf.Format(t)))
	}
	v.at = time.Now()
	return v, nil
}

// readVitals reads {value, {Memory, Queue, Children}, Bindings}.
func readVitals(t etf.Term) (v vitals, ok bool) {
	value, _ := t.(etf.Tuple)
	if len(value) != 3 {
		return v, false
	}
	parts, _ := value[1].(etf.Tuple)
	if len(parts) != 3 {
		return v, false
	}
	memory, ok1 := parts[0].(int64)
	queue, ok2 := parts[1].(int64)
	if !ok1 || !ok2 {
		return v, false
	}
	v = vitals{memory: memory, queue: queue, children: make(map[string]string)}
	children, _ := parts[2].(etf.List)
	for _, c := range children {
		if pair, _ := c.(etf.Tuple); len(pair) == 2 {
			v.children[etf.Format(pair[0])] = etf.Format(pair[1])
		}
	}
	return v, true
}

// parsedVitals keeps vitalsSource as a node has parsed it: what one says does for all.
type parsedVitals struct {
	mu    sync.Mutex
	forms etf.Term
}

func (p *parsedVitals) of(ctx context.Context, c Cluster, peer node.Name) (etf.Term, error) {
	p.mu.Lock()
	forms := p.forms
	p.mu.Unlock()
	if forms != nil {
		return forms, nil
	}
	tokens, err := callOK(ctx, c, peer, "erl_scan", "string", etf.Charlist(vitalsSource))
	if err != nil {
		return nil, err
	}
	if forms, err = callOK(ctx, c, peer, "erl_parse", "parse_exprs", tokens); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.forms = forms
	p.mu.Unlock()
	return forms, nil
}

// callOK calls what gives {ok, Value} or {ok, Value, _}.
func callOK(ctx context.Context, c Cluster, peer node.Name, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	t, err := c.Call(ctx, peer, mod, fun, args...)
	if err != nil {
		return nil, err
	}
	if tuple, _ := t.(etf.Tuple); len(tuple) >= 2 && tuple[0] == etf.Atom("ok") {
		return tuple[1], nil
	}
	return nil, fmt.Errorf("%s:%s on %s: %s", mod, fun, peer, short(etf.Format(t)))
}

// pulse keeps the vitals of the last minutes of the instances that may be upgraded hot.
type pulse struct {
	mu   sync.Mutex
	seen map[string][]vitals // by instance, the oldest first
}

func (p *pulse) put(instance string, v vitals) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = make(map[string][]vitals)
	}
	list := append(p.seen[instance], v)
	p.seen[instance] = list[max(0, len(list)-vitalsKept):]
}

func (p *pulse) of(instance string) []vitals {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]vitals(nil), p.seen[instance]...)
}

// keep forgets all others.
func (p *pulse) keep(instances map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.seen {
		if !instances[name] {
			delete(p.seen, name)
		}
	}
}

// takePulse samples, now and then, the instances whose next version may be installed hot and soaks, until ctx ends.
func (s *System) takePulse(ctx context.Context) {
	tick := time.NewTicker(vitalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		here := make(map[string]bool)
		for _, spec := range s.apps() {
			if spec.Hot == nil || spec.Hot.Soak == 0 {
				continue
			}
			for _, name := range s.board.ready(spec.Name) {
				here[name] = true
				call, cancel := context.WithTimeout(ctx, attemptTimeout)
				if v, err := s.vitals.take(call, s.cfg.Cluster, s.nodeName(name), false); err == nil {
					s.pulse.put(name, v)
				}
				cancel()
			}
		}
		s.pulse.keep(here)
	}
}

// loggedErrors counts the error-level events in an instance's log files between two times; lines of one moment are one event.
func (s *System) loggedErrors(ctx context.Context, app, instance string, from, to time.Time) (n int) {
	all, err := applog.List(filepath.Join(s.cfg.LogDir, app))
	if err != nil {
		return 0
	}
	q := applog.Query{Since: from, Until: to, Level: applog.Error}
	for _, f := range all {
		if f.Instance == instance {
			q.Files = append(q.Files, f)
		}
	}
	var last time.Time
	_ = applog.Search(ctx, q, func(l applog.Line) bool { // what cannot be read has no errors to show
		if !l.Time.Equal(last) {
			n++
		}
		last = l.Time
		return n < 100_000
	})
	return n
}
