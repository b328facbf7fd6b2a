package actors

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
)

// retryWrite is how long to wait before what could not be written is tried again.
const retryWrite = time.Second

// unwritable says whether err is that the state store could not be written.
func unwritable(err error) bool {
	var w *state.WriteError
	return errors.As(err, &w)
}

// ofHost says whether err is the machine's and no app's: it is short of disk, memory, descriptors or processes, or may
// not be written to. What fails for that is tried again until it is over, and is no crash.
func ofHost(err error) bool {
	if unwritable(err) {
		return true
	}
	for _, no := range []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// causeOf says whose fault an error is.
func causeOf(err error) state.Cause {
	var e *node.EPMDError
	if ofHost(err) || errors.As(err, &e) && !errors.Is(err, node.ErrNameUnknown) {
		return state.CauseHost
	}
	return ""
}

// storeTrouble is told by the state store when it can no longer be written, and when it can again.
func (s *System) storeTrouble(err error) {
	if err != nil {
		s.emit(api.Event{Type: api.EventStateUnwritable, Level: "error", Message: err.Error()})
		return
	}
	s.emit(api.Event{Type: api.EventStateWritable, Message: "the state is written again"})
}

// storeProblem is what is wrong with the state store now.
func (s *System) storeProblem() []api.Problem {
	since, err := s.cfg.State.Trouble()
	if err == nil {
		return nil
	}
	return []api.Problem{{
		Since:  api.Time{Time: since.UTC()},
		What:   fmt.Sprintf("the state cannot be written: %v; what runs goes on, and nothing new is begun", err),
		Remedy: "make room on that disk, or make it writable; it is tried again every second",
	}}
}

// pause waits out an error of the state store. An actor that would end with it, and be started again at once, would wear
// its supervisors out while the disk is full: it takes no message for a while instead, then begins anew.
type pause struct{ on bool }

// after has the actor pause when err is the state store's, and returns any other.
func (p *pause) after(err error, again func(time.Duration)) error {
	if !unwritable(err) {
		return err
	}
	p.on = true
	again(retryWrite)
	return nil
}
