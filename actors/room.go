package actors

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// What failed for want of room is tried again: after this long the first time, then after twice as long each time, and
// sooner when there is more room than there was then.
const (
	roomFirst   = time.Second
	roomLongest = 10 * time.Minute // when Config.RoomRetry says no other
	roomSooner  = 10 * time.Second
	roomGrown   = 1 << 20 // bytes
)

// wantOfRoom says whether something failed for want of room on the machine's disks, which nobody's version is to blame for.
// What an instance has failed with is known as text only.
func wantOfRoom(err error) bool {
	if err == nil {
		return false
	}
	for _, no := range []error{release.ErrNoSpace, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}

// short notes in an app's record how a deployment ended, as far as room goes.
func (s *System) short(a *state.App, outcome string, why error) {
	switch {
	case outcome == api.DeploymentSucceeded && a.Failed == "": // no restore
		a.Short = nil
	case outcome == api.DeploymentFailed && wantOfRoom(why):
		tries := 1
		if a.Short != nil {
			tries = a.Short.Tries + 1
		}
		a.Short = &state.Short{At: time.Now().UTC(), Tries: tries, Free: s.room()}
	case outcome == api.DeploymentFailed:
		a.Short = nil
	}
}

// room is how much is free where the state and the releases are; -1: not known.
func (s *System) room() int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(s.cfg.State.Path()), &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize
}

// roomWait is how long to wait after so many tries.
func (s *System) roomWait(tries int) time.Duration {
	longest := firstOf2(s.cfg.RoomRetry, roomLongest)
	wait := roomFirst
	for ; tries > 1 && wait < longest; tries-- {
		wait *= 2
	}
	return min(wait, longest)
}

// shortSince is since when an app waits for room.
type shortSince struct {
	failed string // the deployment
	at     time.Time
}

// again tries again what failed for want of room, when it is time: retried says that the record was changed for it.
func (m *manager) again(p picture) (retried bool, err error) {
	failed := firstOf(p.app.Halted, p.app.Failed)
	if failed == "" || p.app.Short == nil || p.dep != nil || m.trigger != "" {
		return false, nil
	}
	if p.app.Frozen && !same(p.app.Wish, p.app.Settled) {
		return false, nil
	}
	if m.short.failed != failed { // by the clock that nobody sets
		m.short = shortSince{failed: failed, at: time.Now()}
	}
	wait := m.sys.roomWait(p.app.Short.Tries)
	if free := m.sys.room(); free >= 0 && free >= p.app.Short.Free+roomGrown {
		wait = min(wait, roomSooner)
	}
	if left := wait - time.Since(m.short.at); left > 0 {
		if left < lookAgain {
			m.next.Stop()
			m.next = m.sys.after(left, m.self, msgWake{})
		}
		return false, nil
	}
	var tried api.Deployment
	err = m.sys.cfg.State.View(func(tx *state.Tx) (err error) {
		tried, _, err = tx.Deployment(firstOf(p.app.Failed, p.app.Halted))
		return err
	})
	if err != nil {
		return false, err
	}
	m.trigger, m.by = tried.Trigger, tried.By
	return true, m.sys.recordApp(m.spec.Name, func(a *state.App, say func(api.Event)) {
		a.Failed, a.Halted = "", ""
		say(api.Event{
			Type: api.EventRoomRetry, App: a.Name, Version: a.Wish.Version, Deployment: failed,
			Message: fmt.Sprintf("%s: what deployment %s failed at for want of room is tried again", a.Name, failed),
			Data:    map[string]any{"tries": p.app.Short.Tries},
		})
	})
}
