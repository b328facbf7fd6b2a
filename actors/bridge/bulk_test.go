package bridge

import (
	"fmt"
	"sync"
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

func TestPair_OrderOf100000(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	a, plain := spawnProbe(t, s, ""), spawnPlain(t, s)
	peer := spawnRaw(t, n)
	const count = 100_000
	pid := s.PID(peer.proc.Pid())
	a.must(func(p *probe) error { return p.Send(pid, etf.Atom("start")) })
	nextAs[node.Message](peer)

	check := func(what string) {
		t.Helper()
		for i := range int64(count) {
			if m := nextAs[node.Message](peer); m.Term != any(i) {
				t.Fatalf("%s: message %d is %v", what, i, m.Term)
			}
		}
	}
	done := make(chan error, 1)
	go func() {
		done <- a.do(func(p *probe) error {
			for i := range int64(count) {
				if err := p.Send(pid, i); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	check("from an Actor")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() {
		done <- plain.do(func(p *plainProbe) error {
			for i := range int64(count) {
				if err := p.Send(pid, i); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	check("from an act.Actor")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for i := range int64(count) {
		if err := peer.proc.Send(t.Context(), node.ToPid(a.wire()), i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(count) {
		if r := a.next(); r.Msg != any(i) {
			t.Fatalf("to an Actor: message %d is %v", i, r.Msg)
		}
	}
}

// More calls than Ergo has references, from many actors at once, each with its own answer.
func TestPair_300000CallsKeepTheirAnswers(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	var peers []*raw
	for range 4 {
		peer := spawnRaw(t, n)
		peer.serve()
		peers = append(peers, peer)
	}
	if err := s.Node().Connect(t.Context(), n.Name()); err != nil {
		t.Fatal(err)
	}
	const actors = 32
	calls := 300_000 / actors / 2
	if raceEnabled {
		calls /= 10
	}
	var wg sync.WaitGroup
	call := func(i int, f func(to any, req int64) (any, error)) error {
		for c := range calls {
			req := int64(i*calls + c)
			got, err := f(s.PID(peers[i%len(peers)].proc.Pid()), req)
			if err != nil {
				return fmt.Errorf("call %d: %w", c, err)
			}
			if !etf.Equal(got, etf.Tuple{etf.Atom("echo"), req}) {
				return fmt.Errorf("call %d of actor %d got %v", c, i, got)
			}
		}
		return nil
	}
	errs := make(chan error, 2*actors)
	run := func(send func(done chan error) error) {
		wg.Go(func() {
			done := make(chan error, 1)
			if err := send(done); err != nil {
				errs <- err
				return
			}
			errs <- <-done
		})
	}
	for i := range actors {
		a, plain := spawnProbe(t, s, ""), spawnPlain(t, s)
		run(func(done chan error) error {
			return s.Ergo().Send(a.pid, do{done: done, f: func(p *probe) error {
				return call(i, func(to any, req int64) (any, error) { return p.Call(to, req) })
			}})
		})
		run(func(done chan error) error {
			return s.Ergo().Send(plain.pid, plainDo{done: done, f: func(p *plainProbe) error {
				return call(i, func(to any, req int64) (any, error) { return p.Call(to, req) })
			}})
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}
