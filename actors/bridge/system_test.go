package bridge

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"
)

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type panicker struct{ act.Actor }

func (p *panicker) HandleMessage(gen.PID, any) error { return explode() }

func explode() error { panic("as told") }

func TestStart_LogsPanicWithStack(t *testing.T) {
	t.Parallel()
	var out syncBuffer
	s, err := Start(t.Context(), Options{Name: "panic@localhost", Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	pid, err := s.Ergo().Spawn(func() gen.ProcessBehavior { return &panicker{} }, gen.ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ergo().Send(pid, "boom"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the actor to end", func() bool {
		_, err := s.Ergo().ProcessState(pid)
		return err != nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"as told", "bridge.explode", "level=ERROR"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, out.String())
		}
	}
}

// eventually waits until cond holds, at most 20 seconds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Ergo catches SIGTERM and resets the handlers of the whole process, unless it is kept from it.
func TestStart_LeavesSignalsAlone(t *testing.T) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM)
	defer signal.Stop(ch)
	s, err := Start(t.Context(), Options{Name: "signals@localhost", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ch:
		case <-time.After(patience):
			t.Fatal("SIGTERM did not arrive")
		}
	}
	if spool := s.Ergo().Cron().Info().Spool; len(spool) != 1 {
		t.Errorf("cron's queue is %v, want the job of cronStart", spool)
	}
	if !s.Ergo().IsAlive() {
		t.Error("SIGTERM stopped the actors")
	}
	if pids, err := s.Ergo().ProcessList(); err != nil || len(pids) != 0 {
		t.Errorf("processes of a fresh system: %v, %v, want none (no usage reports)", pids, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// hanger does not end when told.
type hanger struct {
	act.Actor
	in, hang chan struct{}
}

func (h *hanger) HandleMessage(gen.PID, any) error {
	close(h.in)
	<-h.hang
	return nil
}

func TestStop_GivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{Name: "hang@localhost", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	in, hang := make(chan struct{}), make(chan struct{})
	pid, err := s.Ergo().Spawn(func() gen.ProcessBehavior { return &hanger{in: in, hang: hang} }, gen.ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ergo().Send(pid, 1); err != nil {
		t.Fatal(err)
	}
	<-in
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err != context.DeadlineExceeded {
		t.Errorf("Stop = %v, want the context's error", err)
	}
	close(hang)
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Error("the killed actor did not end")
	}
}
