package api

import (
	"context"
	"encoding/json"
)

// Planner says what a deployment would do.
type Planner interface {
	// Plan changes nothing that runs. What it is about is fetched to the host, if it is not there yet.
	Plan(ctx context.Context, r PlanRequest) (Plan, error)
}

// PlanRequest asks what a deployment would do. Without Version and File it is about what current.json names.
type PlanRequest struct {
	App     string    `json:"app"`
	Version string    `json:"version,omitempty"`
	Kind    string    `json:"kind,omitempty"` // KindHot or KindFull: as it would be asked for
	File    *PlanFile `json:"file,omitempty"` // an archive that the caller has, instead of Version
}

// PlanFile is an archive that the daemon need not be able to read.
type PlanFile struct {
	Name     string          `json:"name"` // for people
	SHA256   string          `json:"sha256,omitempty"`
	Size     int64           `json:"size,omitempty"`
	Contents json.RawMessage `json:"contents,omitempty"` // as release inspect --json has them
	Broken   string          `json:"broken,omitempty"`   // why it cannot be read, instead of Contents
}

// Plan is what a deployment would do, and why. Nothing was changed for it.
type Plan struct {
	App     string       `json:"app"`
	From    string       `json:"from,omitempty"` // the version there is; empty: none
	To      string       `json:"to"`
	SHA256  string       `json:"sha256,omitempty"` // of To's archive
	File    string       `json:"file,omitempty"`   // it is about this file, which is not published yet
	Verdict string       `json:"verdict"`          // HOT, FULL, REFUSED, or SAME: there is nothing to do
	Reasons []PlanReason `json:"reasons"`          // what stops HOT, or why it is refused
	Notes   []string     `json:"notes,omitempty"`

	Kind  string     `json:"kind,omitempty"` // what would be done: KindHot, KindFull; empty: nothing
	Holds []PlanHold `json:"holds"`          // what keeps it from being done now
	Steps []PlanStep `json:"steps"`          // what would be done, in order

	Changes   json.RawMessage `json:"changes,omitempty"` // as release diff --json has them; absent when there is nothing to compare with
	Instances []PlanInstance  `json:"instances"`         // as they are
}

// PlanReason is one reason for a verdict.
type PlanReason struct {
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"` // what would have to change
}

// PlanHold keeps a deployment from being done now.
type PlanHold struct {
	What      string `json:"what"`
	Until     Time   `json:"until,omitzero"` // it goes by itself
	Automatic bool   `json:"automatic"`      // keeps what current.json names from being deployed by itself
	Manual    bool   `json:"manual"`         // deploy is refused
	Forcible  bool   `json:"forcible"`       // but not deploy --force
	Remedy    string `json:"remedy,omitempty"`
}

// PlanStep is one thing that would be done.
type PlanStep struct {
	Name     string `json:"name"`               // as in a deployment: fetch, pre_command, start, stop_old, install, …
	Instance string `json:"instance,omitempty"` // that it is done to; empty: a new one, or none
	Detail   string `json:"detail"`             // in words
}

// PlanInstance is an instance as it is when the plan is made.
type PlanInstance struct {
	Name    string        `json:"name"`
	State   InstanceState `json:"state"`
	Version string        `json:"version"`

	Live  *PlanLive `json:"live,omitempty"`  // what its node says
	Error string    `json:"error,omitempty"` // why that is not known
}

// PlanLive is what a running node says of itself.
type PlanLive struct {
	Version        string        `json:"version"` // that runs
	OTP            string        `json:"otp"`
	ERTS           string        `json:"erts"`
	ReleaseHandler bool          `json:"release_handler"` // sasl runs
	Releases       []PlanRelease `json:"releases,omitempty"`
	Installing     bool          `json:"installing,omitempty"`   // release_handler is busy
	OldCode        []PlanProcess `json:"old_code,omitempty"`     // processes in code of a version before
	OldModules     []string      `json:"old_modules,omitempty"`  // modules with such code, used or not
	Unresponsive   []PlanProcess `json:"unresponsive,omitempty"` // do not answer system messages
	Processes      int           `json:"processes"`
	MemoryBytes    int64         `json:"memory_bytes"`
	DiskFreeBytes  int64         `json:"disk_free_bytes"` // where it runs from
}

// PlanRelease is a release as release_handler has it.
type PlanRelease struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Status  string `json:"status"` // unpacked, current, permanent, old
}

// PlanProcess is a process that an upgrade would meet.
type PlanProcess struct {
	Pid     string   `json:"pid"`
	Name    string   `json:"name,omitempty"`
	App     string   `json:"app,omitempty"`
	Call    string   `json:"initial_call,omitempty"`
	Modules []string `json:"modules,omitempty"` // whose old code it is in
	Why     string   `json:"why,omitempty"`     // what it did not answer
	Fatal   bool     `json:"fatal,omitempty"`   // it would stop an upgrade
}
