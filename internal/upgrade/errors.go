package upgrade

import (
	"errors"
	"fmt"
	"strings"
)

// What an *Error is, for errors.Is. Each Error is exactly one of the first three.
var (
	// ErrTransient: no link, no time, no room on the disk. Nothing is wrong with the release; the step can be tried again.
	ErrTransient = errors.New("try again")
	// ErrNotPossible: this instance cannot be taken to this version hot, and runs what it ran. A full deployment can.
	ErrNotPossible = errors.New("not possible while it runs")
	// ErrBroken: the instance is, or may be, between the versions, or was restarted by release_handler. A full deployment
	// of either version is the way out; where the BEAM was restarted, it runs the old one again (see Look).
	ErrBroken = errors.New("broken off in the middle")

	// ErrRestarted: the BEAM restarted with the old version, without its state. Such errors are ErrBroken too.
	ErrRestarted = errors.New("the BEAM was restarted with the old version")
	// ErrCeiling: the installation takes longer than Options.Ceiling and goes on. Such errors are ErrBroken too.
	ErrCeiling = errors.New("still going on")
	// ErrLingering: Commit would kill processes. The error is a *LingeringError. Such errors are ErrTransient too.
	ErrLingering = errors.New("processes are still in old code")
	// ErrNoWayBack: Revert without downgrade instructions. Such errors are ErrNotPossible too.
	ErrNoWayBack = errors.New("there are no downgrade instructions")
)

// Error is why a step of a Job did not succeed.
type Error struct {
	Op       string // prepare | install | look | commit | revert | clean | facts
	Name     string // of the release
	From, To string // versions
	Kind     error  // ErrTransient, ErrNotPossible or ErrBroken
	Reason   string // in short, for the list of a plan: no_sasl, no_appup, erts, relup, config, unresponsive, …
	Err      error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "upgrade: %s", e.Op)
	if e.Name != "" {
		fmt.Fprintf(&b, " %q", e.Name)
	}
	if e.To != "" {
		fmt.Fprintf(&b, " %s to %s", e.From, e.To)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }

// LingeringError lists the processes that a Commit would kill.
type LingeringError struct {
	Processes []Lingerer
}

func (e *LingeringError) Error() string {
	var names []string
	for i, p := range e.Processes {
		if i == 5 {
			names = append(names, fmt.Sprintf("and %d more", len(e.Processes)-i))
			break
		}
		names = append(names, strings.TrimSpace(p.Pid+" "+p.Name))
	}
	return fmt.Sprintf("%d processes are still in old code and would be killed: %s", len(e.Processes), strings.Join(names, ", "))
}

// Is lets errors.Is find ErrLingering.
func (e *LingeringError) Is(target error) bool { return target == ErrLingering }
