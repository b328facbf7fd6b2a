package launch

import "errors"

var errTODO = errors.New("launch: not written yet")

// Plan is the command that starts an instance.
type Plan struct {
	Path  string
	Args  []string
	Env   []string // sorted, each key once
	Dir   string
	User  string
	Node  string         // the node's full name, instance@host
	Ports map[string]int // the instance's own ports
	Files []File         // written by Prepare
}

// File is a file that the instance needs before it is started.
type File struct {
	Path    string
	Mode    uint32
	Content []byte // may be secret
}

// Build makes the plan of s. It looks at the disk (is the release's start script there?) but changes nothing.
func Build(s Spec) (Plan, error) { return Plan{}, errTODO }

// Prepare writes the plan's files, owned by the plan's user.
func (p Plan) Prepare() error { return errTODO }

// Expand replaces each ${NAME} in text by the instance's variable of that name (ports included). Any other $ stays.
// A name the instance does not have is an error.
func (p Plan) Expand(text string) (string, error) { return "", errTODO }
