//go:build !race

package observer

import "ergo.services/ergo/gen"

// order is for the race detector only: Ergo writes an actor's running time without regard to those who read it with
// ProcessInfo. The value may be old; nothing else comes of it.
type order struct{}

func (order) begin(gen.Node, gen.PID) {}
func (order) begun(gen.Node, gen.PID) {}
func (order) end()                    {}
