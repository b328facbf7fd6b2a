package actors

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/process"
)

func TestRegistry_NeverStartsASecondOSProcess(t *testing.T) {
	t.Parallel()
	exited := make(chan process.Identity, 2)
	r := newRegistry(func(_ string, id process.Identity) { exited <- id })
	defer r.close()
	started := 0
	start := func() (*process.Process, error) {
		started++
		return process.Start(process.Command{Path: "/bin/sleep", Args: []string{"1000"}, Env: []string{"BEAMKEEPER_INSTANCE=shop-registry"}})
	}
	ctx := r.take(t.Context(), "shop-registry")
	first, err := r.start(ctx, "shop-registry", start)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.start(ctx, "shop-registry", start)
	if err != nil || second != first || started != 1 {
		t.Errorf("started %d times: %v", started, err)
	}
	// The next actor finds it; what the one before had under way starts nothing any more.
	r.take(t.Context(), "shop-registry")
	if r.process("shop-registry") != first {
		t.Error("the OS process is not held")
	}
	kill, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := process.KillAll(kill, first.Identity()); err != nil {
		t.Fatal(err)
	}
	if id := <-exited; id != first.Identity() {
		t.Errorf("told of the end of %+v", id)
	}
	if _, err := r.start(ctx, "shop-registry", start); !errors.Is(err, context.Canceled) || started != 1 {
		t.Errorf("a job of an earlier actor started %d: %v", started, err)
	}
}
