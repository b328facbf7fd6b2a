package process

import (
	"os"

	"github.com/beamkeeper/beamkeeper/internal/sandbox"
)

// The environment variables that say whose a process is.
const (
	EnvInstance = "BEAMKEEPER_INSTANCE"
	EnvApp      = "BEAMKEEPER_APP"
	EnvNode     = "BEAMKEEPER_NODE"
)

// Command says what to start and how.
type Command struct {
	Path   string      // program, absolute
	Args   []string    // arguments after the program's name
	Env    []string    // the whole environment, KEY=value; must hold BEAMKEEPER_INSTANCE
	Dir    string      // working directory; empty: /
	Stdout string      // file appended to, made when missing (with its directory); empty: /dev/null
	Stderr string      // the same; may be equal to Stdout
	Output [2]*os.File // instead of the two files, such as streams to the journal; Start closes them
	User   string      // OS user to run as (name or number); empty: the daemon's own
	Group  string      // its primary group; empty: the user's

	Enter *sandbox.Entry // what the process does before it becomes the program; nil: nothing
}
