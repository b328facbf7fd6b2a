package observer

import (
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// What answers peers beside their calls is bounded: with too many under way, more are refused and leave nothing behind.
func TestErrands_AreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, nil)
	goOn := make(chan struct{})
	for range maxErrands {
		if !w.obs.errand(func() { <-goOn }) {
			t.Fatal("refused")
		}
	}
	me := w.node.Spawn(&node.Mailbox{}).Pid()
	info := node.CallInfo{Peer: w.node.Name()}
	if pid, err := w.obs.table(t.Context(), info, []etf.Term{me, etf.Atom("apps"), etf.Atom("ets")}); err == nil {
		t.Errorf("a table is sent by %v", pid)
	}
	if v, err := w.obs.startAppmon(t.Context(), info, []etf.Term{etf.Atom("x"), me}); err == nil {
		t.Errorf("an application is watched: %v", v)
	}
	close(goOn)
	for end := time.Now().Add(20 * time.Second); len(w.obs.errands) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("errands are left")
		}
	}
	if _, err := w.obs.table(t.Context(), info, []etf.Term{me, etf.Atom("apps"), etf.Atom("ets")}); err != nil {
		t.Error(err)
	}
}

// Nobody has the daemon connect to a node that he names: pids to send to are of the node that asks.
func TestPids_AreOfTheNodeThatAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, nil)
	far := etf.Pid{Node: "far@elsewhere.example", ID: 1, Creation: 5}
	info := node.CallInfo{Peer: node.Name{Alive: "watcher", Host: "localhost"}, Process: w.node.Spawn(&node.Mailbox{}), GroupLeader: far}
	for name, call := range map[string]func() (etf.Term, error){
		"procs_info":  func() (etf.Term, error) { return w.obs.procsInfo(t.Context(), info, []etf.Term{far}) },
		"fetch_stats": func() (etf.Term, error) { return w.obs.fetchStats(t.Context(), info, []etf.Term{far, int64(1000)}) },
		"get_table": func() (etf.Term, error) {
			return w.obs.table(t.Context(), info, []etf.Term{far, etf.Atom("apps"), etf.Atom("ets")})
		},
		"appmon": func() (etf.Term, error) { return w.obs.startAppmon(t.Context(), info, []etf.Term{etf.Atom("x"), far}) },
	} {
		if v, err := call(); err != errBadarg {
			t.Errorf("%s for a pid of a third node: %v, %v", name, v, err)
		}
	}
}
