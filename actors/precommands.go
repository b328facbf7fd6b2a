package actors

import (
	"errors"
	"fmt"

	"github.com/beamkeeper/beamkeeper/release"
)

// PreCommandsError: a current.json asks for commands to be run before its version starts, which nothing here does yet.
// A version that started without its migrations would do harm, so it is not deployed.
type PreCommandsError struct {
	File, Version string
}

func (e *PreCommandsError) Error() string {
	return fmt.Sprintf("%s: version %s has pre_commands, which this version of Beamkeeper does not run; it is not deployed", e.File, e.Version)
}

// Unwrap returns release.ErrBadCurrent: the file is dealt with as a broken one.
func (e *PreCommandsError) Unwrap() error { return release.ErrBadCurrent }

func isPreCommands(err error) bool {
	var e *PreCommandsError
	return errors.As(err, &e)
}

// refusePreCommands turns a change to a version that needs pre-commands into one to a broken file. Its Current stays.
func refusePreCommands(c release.Change) release.Change {
	if c.Err == nil && len(c.Current.PreCommands) > 0 {
		c.Err, c.Mended = &PreCommandsError{File: c.Current.File, Version: c.Current.Version}, false
	}
	return c
}
