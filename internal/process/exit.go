package process

import (
	"syscall"
	"time"
)

// Exit is how a process ended.
type Exit struct {
	Known  bool           // false: adopted, and the kernel could not tell us (before Linux 6.15)
	Code   int            // exit code; -1 when ended by a signal or not known
	Signal syscall.Signal // 0 when it exited by itself or is not known
	Core   bool           // a core was dumped
	At     time.Time      // when we saw it
}
