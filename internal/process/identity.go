package process

import "errors"

// Identity names one OS process for ever: no other process, before or after, satisfies it.
type Identity struct {
	OSPID     int    `json:"os_pid"`
	StartTime uint64 `json:"start_time"` // clock ticks since boot, field 22 of /proc/PID/stat
	BootID    string `json:"boot_id"`    // /proc/sys/kernel/random/boot_id
	Instance  string `json:"instance"`   // BEAMKEEPER_INSTANCE
	Node      string `json:"node"`       // BEAMKEEPER_NODE, the daemon it belongs to; may be empty
}

// Errors of Adopt, Signal and the readers of /proc.
var (
	// ErrGone says that the process has ended (or its OS pid now belongs to another one).
	ErrGone = errors.New("process has ended")
	// ErrNotOurs says that a process with this OS pid and start time lives, but is not this instance's.
	ErrNotOurs = errors.New("process belongs to something else")
)
