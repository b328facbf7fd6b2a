package actors

import (
	"context"
	"sync"

	"github.com/beamkeeper/beamkeeper/internal/process"
)

// registry holds the OS processes of all instances, outside the lives of actors.
type registry struct {
	exited func(instance string, id process.Identity) // called once for each end that is seen

	mu   sync.Mutex
	held map[string]*holding
	wg   sync.WaitGroup
	done chan struct{} // closed by close
}

// holding is what the registry has of one instance.
type holding struct {
	starting sync.Mutex // held while an OS process is started, so that there is never a second one

	// guarded by registry.mu
	proc   *process.Process
	cancel context.CancelFunc // ends what the last actor of the instance had under way
}

func newRegistry(exited func(string, process.Identity)) *registry {
	return &registry{exited: exited, held: make(map[string]*holding), done: make(chan struct{})}
}

func (r *registry) of(instance string) *holding {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[instance]
	if h == nil {
		h = &holding{}
		r.held[instance] = h
	}
	return h
}

// take is called by an instance's actor when it begins. It ends the jobs of the actor before it and returns the context
// of its own. An OS process that such a job was just starting is held when take returns; none is started afterwards.
func (r *registry) take(ctx context.Context, instance string) context.Context {
	h := r.of(instance)
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	if h.cancel != nil {
		h.cancel()
	}
	h.cancel = cancel
	r.mu.Unlock()
	h.starting.Lock()
	defer h.starting.Unlock()
	return ctx
}

// process returns the instance's OS process, nil when there is none. It may have ended.
func (r *registry) process(instance string) *process.Process {
	h := r.of(instance)
	r.mu.Lock()
	defer r.mu.Unlock()
	return h.proc
}

// start has f start the instance's OS process, unless ctx has ended or one runs: then that is returned.
func (r *registry) start(ctx context.Context, instance string, f func() (*process.Process, error)) (*process.Process, error) {
	h := r.of(instance)
	h.starting.Lock()
	defer h.starting.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if p := r.process(instance); p != nil {
		if _, ended := p.Exit(); !ended {
			return p, nil
		}
	}
	p, err := f()
	if err != nil {
		return nil, err
	}
	r.put(instance, p)
	return p, nil
}

// put holds p as the instance's OS process and watches it.
func (r *registry) put(instance string, p *process.Process) {
	h := r.of(instance)
	r.mu.Lock()
	h.proc = p
	r.mu.Unlock()
	r.wg.Go(func() {
		select {
		case <-p.Done():
			r.exited(instance, p.Identity())
		case <-r.done:
		}
	})
}

// drop forgets p, whose end has been dealt with.
func (r *registry) drop(instance string, p *process.Process) {
	h := r.of(instance)
	r.mu.Lock()
	if h.proc == p {
		h.proc = nil
	}
	r.mu.Unlock()
	p.Close()
}

// forget removes an instance that is gone for good.
func (r *registry) forget(instance string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.held[instance]; h != nil {
		if h.cancel != nil {
			h.cancel()
		}
		delete(r.held, instance)
	}
}

// running lists the instances whose OS process has not ended.
func (r *registry) running() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name, h := range r.held {
		if h.proc == nil {
			continue
		}
		if _, ended := h.proc.Exit(); !ended {
			names = append(names, name)
		}
	}
	return names
}

// close stops watching. The OS processes run on.
func (r *registry) close() {
	close(r.done)
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if h.cancel != nil {
			h.cancel()
		}
		if h.proc != nil {
			h.proc.Close()
		}
	}
}
