package bridge

import "sync"

// workQueue runs functions one after the other in a goroutine of its owner. push never waits. The zero value is ready.
type workQueue struct {
	mu    sync.Mutex
	work  []func()
	ready chan struct{}
}

func (q *workQueue) wake() chan struct{} {
	if q.ready == nil {
		q.ready = make(chan struct{}, 1)
	}
	return q.ready
}

func (q *workQueue) push(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.work = append(q.work, f)
	select {
	case q.wake() <- struct{}{}:
	default:
	}
}

// run works until done is closed and then does what is left.
func (q *workQueue) run(done <-chan struct{}) {
	q.mu.Lock()
	ready := q.wake()
	q.mu.Unlock()
	for {
		over := false
		select {
		case <-ready:
		case <-done:
			over = true
		}
		for {
			q.mu.Lock()
			work := q.work
			q.work = nil
			q.mu.Unlock()
			if len(work) == 0 {
				break
			}
			for _, f := range work {
				f()
			}
		}
		if over {
			return
		}
	}
}
