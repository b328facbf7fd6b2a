package bridge

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
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
