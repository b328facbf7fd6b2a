package process

import "time"

// Facts are numbers about one process, from /proc.
type Facts struct {
	RSS       uint64        // resident memory, bytes
	CPU       time.Duration // user and system time used
	StartedAt time.Time     // to about 10 ms
	FDs       int           // open file descriptors; -1 when we may not look
	Threads   int
}

// Facts reads the process's numbers. ErrGone when it has ended.
func (p *Process) Facts() (Facts, error) { return Facts{}, errTODO }
