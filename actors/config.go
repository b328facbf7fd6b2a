package actors

import (
	"log/slog"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/state"
)

// Languages of an app; each has its own start contract.
const (
	Elixir = "elixir"
	Erlang = "erlang"
	Gleam  = "gleam"
)

// AppSpec is what the configuration says about one app.
type AppSpec struct {
	Name     string
	Language string // Elixir, Erlang or Gleam
	Replicas int    // at least 0
	Ports    []PortBase
	Env      []EnvVar // in order; a later key wins
	User     string   // OS user to run as; empty: the daemon's

	Readiness Readiness
	Strategy  Strategy
	Stop      time.Duration // how long init:stop may take; 0: 15 s
	CrashLoop CrashLoop
	Keep      int // old releases kept on disk; 0: 3
}

// PortBase gives each instance the port Base + slot in the environment variable Key. There are replicas + 1 slots.
type PortBase struct {
	Key  string
	Base int
}

// EnvVar is one variable of an instance's environment.
type EnvVar struct{ Key, Value string }

// Readiness says when an instance is ready.
type Readiness struct {
	Timeout     time.Duration // from the start of the OS process; 0: 60 s
	Application string        // the OTP application that must be started; empty: the app's name
	Successes   int           // how many times in a row the probe must pass; 0: 1
}

// Strategy says how a deployment moves the replicas.
type Strategy struct {
	MaxParallel    int // new instances starting at a time; 0: 1
	MaxUnavailable int // replicas that may be missing meanwhile
}

// CrashLoop says when crashes are too many.
type CrashLoop struct {
	Limit  int           // more crashes than this within Window make an instance failed; 0: 5
	Window time.Duration // 0: 10 min
}

// Config is what a System is made from. It is not changed after New.
type Config struct {
	Apps    []AppSpec
	State   *state.Store // stays open after Close; its owner closes it
	Version string       // of the daemon
	Log     *slog.Logger
}
