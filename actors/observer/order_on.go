//go:build race

package observer

import (
	"runtime"
	"sync"

	"ergo.services/ergo/gen"
)

// order keeps those who read an actor's running time apart from those who make it run, see order_off.go. It serves tests
// whose actors run only when they are asked something.
type order struct{ mu sync.Mutex }

func (o *order) begin(n gen.Node, pid gen.PID) {
	o.mu.Lock()
	o.begun(n, pid)
}

// begun waits until the actor sleeps.
func (o *order) begun(n gen.Node, pid gen.PID) {
	for {
		if state, err := n.ProcessState(pid); err != nil || state != gen.ProcessStateRunning {
			return
		}
		runtime.Gosched()
	}
}

func (o *order) end() { o.mu.Unlock() }
