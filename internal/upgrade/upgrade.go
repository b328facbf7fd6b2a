package upgrade

import (
	"context"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/release"
)

// Node is one running BEAM. Call runs mod:fun(args...) on it and returns its value.
//
// An exception on the node is a *node.CallError. Any other error says that there is no link, that it was lost, or that
// ctx ended: the call may have been executed.
type Node interface {
	Call(ctx context.Context, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error)
}

// Job is the upgrade of one instance from one version of its release to another. The zero value of a field that is not
// described as optional makes every step fail.
type Job struct {
	Node Node

	// Root is the folder that the BEAM runs from, as Store.Prepare made it: absolute, in a folder that belongs to the
	// daemon alone and is on the same file system.
	Root string
	// New is the unpacked new release in the store (Release.Tree). It is read only. Look, Lingering, Revert and Clean
	// do without; Commit needs it for the scripts in bin, and leaves them as they are when it is empty.
	New string

	Name     string // of the release
	From, To string // versions, as the .rel files call them
	Language string // release.Elixir, release.Erlang or release.Gleam

	// Owner is whom the files in Root belong to (optional: the daemon's user), as it was given to Store.Prepare.
	Owner *release.Owner
	// Erl is a program erl of the host that makes the relup when the node lacks the tools (optional).
	Erl string
}

// Prepared is what Prepare found and made.
type Prepared struct {
	Running bool // To runs already, nothing was prepared

	Relup        string      `json:"relup"`                   // where its instructions come from: shipped | appups | appups, offline
	Steps        []string    `json:"steps,omitempty"`         // the instructions in Erlang syntax, shortened
	CanRevert    bool        `json:"can_revert"`              // there are instructions for the way back
	WhyNot       string      `json:"cannot_revert,omitempty"` // when there are none
	Providers    []string    `json:"providers,omitempty"`     // configuration providers that were run in the node, with the old code
	Env          []EnvChange `json:"env,omitempty"`           // what Install will do to the applications' environments
	Unresponsive []Process   `json:"unresponsive,omitempty"`  // would make Install fail or wait; see Process.Why
	Lingering    []Lingerer  `json:"lingering,omitempty"`     // in code of the version before From: Install kills them
	Warnings     []string    `json:"warnings,omitempty"`      // what stays as it was until the next cold start, and the like
}

// EnvChange is the change of one key of an application's environment. Values are not told: they may be secrets.
type EnvChange struct {
	App    string `json:"app"`
	Key    string `json:"key"`
	Change string `json:"change"` // added | changed | removed
	Source string `json:"source"` // release (.app file and sys.config) | provider | running (set at run time, kept)
}

// Process is a process on the node.
type Process struct {
	Pid   string `json:"pid"`            // as the node prints it: <0.123.0>
	Name  string `json:"name,omitempty"` // registered name, or how its supervisor calls it
	App   string `json:"app,omitempty"`
	Call  string `json:"initial_call,omitempty"` // M:F/A it was started with
	Why   string `json:"why,omitempty"`          // what it did not answer, in words
	Fatal bool   `json:"fatal,omitempty"`        // Install would fail or hang for it
}

// Lingerer is a process that still executes, or refers to, an old version of modules. Purging these kills it.
type Lingerer struct {
	Process
	Modules []string `json:"modules"`
}

// Progress is what an installation under way is doing.
type Progress struct {
	For       time.Duration `json:"for"`               // since it began
	Suspended int           `json:"suspended"`         // processes
	Waiting   *Process      `json:"waiting,omitempty"` // the process that release_handler waits for
	Doing     string        `json:"doing,omitempty"`   // suspend | code_change | resume | load | start | stop | …, as far as can be seen
	Link      error         `json:"-"`                 // the last look failed: there is no link at the moment
}

// Options say how Install goes about it.
type Options struct {
	// Ceiling bounds the installation; 0: DefaultCeiling. It is not stopped then, which cannot be done, but Install
	// returns an error of kind Broken.
	Ceiling time.Duration
	// Every is how often the node is asked how far it is; 0: 500 ms.
	Every time.Duration
	// Progress is told each time (optional).
	Progress func(Progress)
	// Kill lets the installation go ahead although it kills processes that linger in the code before From, and although
	// processes are Fatal. Without it both are errors of kind NotPossible.
	Kill bool
}

// DefaultCeiling is how long an installation may take unless Options say otherwise.
const DefaultCeiling = 10 * time.Minute

// Known is a release that release_handler knows.
type Known struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Status  string `json:"status"` // unpacked | current | permanent | old
}

// State is where an instance is.
type State struct {
	Releases  []Known `json:"releases"`
	Running   string  `json:"running"`   // version whose code runs
	Permanent string  `json:"permanent"` // version that release_handler has as permanent
	Boots     string  `json:"boots"`     // version that start_erl.data names: what a cold start boots

	Installing *Progress     `json:"installing,omitempty"` // a job of ours is under way on the node
	Failed     string        `json:"failed,omitempty"`     // why the last job of ours on this run of the BEAM failed
	Up         time.Duration `json:"up"`                   // since the BEAM, or the system in it, was (re)started
}

// Installed says whether version runs.
func (s State) Installed(version string) bool { return s.Installing == nil && s.Running == version }

// Committed says whether version runs and is what a cold start boots.
func (s State) Committed(version string) bool {
	return s.Installed(version) && s.Permanent == version && s.Boots == version
}

// Live is what a plan wants to know of a running instance.
type Live struct {
	Root           string                `json:"root"`    // code:root_dir()
	Name           string                `json:"name"`    // of the release
	Version        string                `json:"version"` // that runs
	Releases       []Known               `json:"releases,omitempty"`
	ERTS           string                `json:"erts"`
	OTP            string                `json:"otp"`
	Applications   []release.Application `json:"applications"`          // running
	ReleaseHandler bool                  `json:"release_handler"`       // SASL runs
	Systools       bool                  `json:"systools"`              // the node can make a relup
	OldCode        []Lingerer            `json:"old_code,omitempty"`    // processes in old code
	OldModules     []string              `json:"old_modules,omitempty"` // modules with old code, used or not
	Unresponsive   []Process             `json:"unresponsive,omitempty"`
	Processes      int                   `json:"processes"`
	Memory         int64                 `json:"memory"`               // bytes, erlang:memory(total)
	DiskFree       int64                 `json:"disk_free"`            // bytes, where Root is, for the daemon's user
	Installing     bool                  `json:"installing,omitempty"` // release_handler is busy
}
