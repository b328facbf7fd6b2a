package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld tells that another daemon holds the folder.
var ErrHeld = errors.New("state: held by another daemon")

const lockPatience = time.Second

// HeldError is the ErrHeld of one folder, with what its holder wrote about itself.
type HeldError struct {
	Dir   string
	OSPID int       // 0: not known
	Since time.Time // zero: not known

	Halted bool // the holder was stopped by a signal (SIGSTOP) or a debugger
}

func (e *HeldError) Error() string {
	if e.OSPID == 0 {
		return fmt.Sprintf("state: %q is held by another daemon", e.Dir)
	}
	text := fmt.Sprintf("state: %q is held by another daemon, OS pid %d, since %s", e.Dir, e.OSPID,
		e.Since.UTC().Format("2006-01-02 15:04:05 UTC"))
	if e.Halted {
		text += fmt.Sprintf(", which was halted by a signal or a debugger (kill -CONT %d lets it go on)", e.OSPID)
	}
	return text
}

// Is makes errors.Is(err, ErrHeld) true.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// lock is the file that the daemon holding a folder keeps locked. The kernel lets go of it when the daemon dies, however
// that happens, so a file that is left behind locks nobody out.
type lock struct{ f *os.File }

type holder struct {
	OSPID int       `json:"os_pid"`
	Since time.Time `json:"since"`
}

func takeLock(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("state: lock %q: %w", f.Name(), err)
		}
		held := &HeldError{Dir: dir}
		var h holder
		if b, err := io.ReadAll(io.LimitReader(f, 4096)); err == nil && json.Unmarshal(b, &h) == nil {
			held.OSPID, held.Since, held.Halted = h.OSPID, h.Since, halted(h.OSPID)
		}
		return nil, held
	}
	if b, err := json.Marshal(holder{OSPID: os.Getpid(), Since: time.Now().UTC()}); err == nil {
		f.Truncate(0)
		f.WriteAt(append(b, '\n'), 0) // only what others would be told: a full disk does not keep us from starting
	}
	return &lock{f: f}, nil
}

// flock takes the lock, trying for a moment: a process that the last holder was just starting shares its lock until it
// runs its own program.
func flock(f *os.File) error {
	for end := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
	}
}

// release empties the file and lets it go. The file stays: to remove it would let two daemons lock two files of one name.
func (l *lock) release() error {
	l.f.Truncate(0) // only what a reader would be told
	// Unlocked by name: closing alone leaves it locked while a process that is just being started still has our files.
	return errors.Join(unix.Flock(int(l.f.Fd()), unix.LOCK_UN), l.f.Close())
}

// halted says whether a process is in state T (stopped) or t (traced). Spec: proc_pid_stat(5).
func halted(osPID int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", osPID))
	if err != nil {
		return false
	}
	rest := b[bytes.LastIndexByte(b, ')')+1:]
	return len(rest) > 1 && (rest[1] == 'T' || rest[1] == 't')
}
