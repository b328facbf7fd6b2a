package actors

import (
	"fmt"
	"os"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// autopsy is what can be known of an OS process that has ended.
type autopsy struct {
	started time.Time // by the clock of now, whatever it said then
	exit    process.Exit
	away    bool      // no daemon was there to see it
	oom     bool      // killed by the kernel for want of memory
	limit   bool      // of its own group's memory
	at      time.Time // of its end; zero: not known
	last    time.Time // sign of life: when it last wrote to a log or its crash dump; zero: never
}

// examine looks at what an OS process has left. paths are the files that it may have written to.
func examine(rec state.Instance, id process.Identity, e process.Exit, away bool, paths ...string) autopsy {
	a := autopsy{started: rec.StartedAt, exit: e, away: away}
	if at, err := id.StartedAt(); err == nil && id.OSPID != 0 && at.Before(time.Now()) {
		a.started = at // the clock may have been set since
	}
	if away {
		a.exit = process.Ended(id)
		for _, path := range paths {
			if st, err := os.Stat(path); err == nil && st.ModTime().After(a.started) && st.ModTime().After(a.last) {
				a.last = st.ModTime()
			}
		}
	} else {
		a.at = e.At
	}
	if a.exit.Signal == 9 || !a.exit.Known {
		if k, killed := process.OOMKilled(id); killed {
			a.oom, a.limit, a.at = true, k.Cgroup, k.At
		}
	}
	return a
}

// String says it in one line.
func (a autopsy) String() string {
	text := a.exit.String()
	if a.away {
		text = "ended while the daemon was down"
		if a.exit.Known {
			text += ", " + a.exit.String()
		}
	}
	switch {
	case a.limit:
		text += ", killed by the kernel at its memory limit"
	case a.oom:
		text += ", killed by the kernel for want of memory"
	}
	switch {
	case a.away && !a.at.IsZero():
		text += fmt.Sprintf(", at %s", clock(a.at))
	case a.away && !a.last.IsZero():
		text += fmt.Sprintf(", last heard of at %s", clock(a.last))
	}
	return text
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// ran is how long it lived, as far as that is known.
func (a autopsy) ran() time.Duration {
	switch {
	case !a.at.IsZero():
		return a.at.Sub(a.started)
	case !a.last.IsZero():
		return a.last.Sub(a.started)
	}
	return time.Since(a.started)
}
