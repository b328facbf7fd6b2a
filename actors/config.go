package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/beamkeeper/beamkeeper/actors/bridge"
	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/internal/window"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// AppSpec is what the configuration says about one app.
type AppSpec struct {
	Name     string
	Language launch.Language
	Replicas int
	Ports    []launch.Port // each instance gets Base + slot; there are replicas + 1 slots
	Env      []launch.Var  // in order; a later key wins
	User     string        // OS user to run as; empty: the daemon's
	Cookie   node.Cookie   // shared with the daemon; empty: the release's own

	Poll      time.Duration // how often current.json is looked at, besides being told; 0: 5 s
	Readiness Readiness
	Strategy  Strategy
	Stop      time.Duration // how long init:stop may take; 0: 15 s
	CrashLoop CrashLoop

	Hot *HotUpgrade // nil: every deployment is a full one

	RollbackTimeout time.Duration // a crash loop so soon after its deployment leads back to the version before; 0: 10 min

	Windows window.Windows // hours in which it may be moved to another version; none: always

	Mesh     bool     // ready instances are connected to each other
	MeshWith []string // and to those of these apps, which have the same cookie
	Keep     int      // old releases kept on disk; 0: 3, negative: none
	History  int      // deployments kept; 0: 200
	Limits   Limits

	Surroundings Surroundings
	SecretUses   []string // which secrets its instances get, and as what; their values are Config.Secrets' to give

	Hooks              Hooks
	PreCommandsTimeout time.Duration // of each of a release's pre_commands; 0: 10 min
	PreCommandsGhost   bool          // a version whose pre_commands fail is a ghost

	Logs      applog.Policy      // how long its log files and crash dumps are kept
	LogTarget string             // file, journal or both; empty: file
	Dump      *launch.DumpLimits // of crash dumps; nil: all as the BEAM has it

	digest string // see settings; set by withDefaults, after which the rest does not change
}

// Readiness says when an instance is ready.
type Readiness struct {
	Timeout     time.Duration // from the start of the OS process; 0: 60 s
	Application string        // the OTP application that must be started; empty: the app's name
	Successes   int           // how many times in a row the probe must pass; 0: 1
	Probe       *Probe        // nil: none
}

// Probe asks an instance over HTTP, TCP, by rpc or with a program, or waits for its word; one of the first five is set.
// ${NAME} in it stands for a variable of the instance.
type Probe struct {
	HTTP string   // URL
	TCP  string   // host:port
	RPC  string   // m:f(Args)
	Exec []string // program and arguments
	API  bool     // passes when the instance has said that it is ready, see System.SaidReady

	Interval time.Duration // between attempts; 0: 100 ms
	Timeout  time.Duration // of an attempt; 0: 5 s
}

// Strategy says how a deployment moves the replicas.
type Strategy struct {
	MaxParallel    int // new instances starting at a time; 0: 1
	MaxUnavailable int // replicas that may be missing meanwhile

	Soak time.Duration // so long all replicas of a new version stay ready before its deployment has succeeded; 0: not at all
}

// HotUpgrade says how a version is installed in running instances. The zero value commits at once.
type HotUpgrade struct {
	Soak           time.Duration // how long the new version is watched before it is made permanent
	Manual         bool          // an operator makes it permanent, see System.CommitDeployment
	All            bool          // all replicas get it before they soak; otherwise the first one soaks before the others get it
	Fallback       bool          // what cannot be installed hot is deployed fully
	InstallTimeout time.Duration // of the installation in one instance; 0: 10 min
	KillLingering  bool          // processes in old code are ended by a commit that is not an operator's; otherwise they are waited for
}

// CrashLoop says when crashes are too many.
type CrashLoop struct {
	Limit  int           // more crashes than this within Window make an instance failed; 0: 10
	Window time.Duration // 0: 10 min
}

// Cluster is the daemon's distribution node. *node.Node satisfies it.
type Cluster interface {
	Name() node.Name
	Connect(ctx context.Context, peer node.Name) error
	Connected(peer node.Name) bool
	Disconnect(peer node.Name) bool
	Call(ctx context.Context, peer node.Name, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error)
	Subscribe(f func(node.NodeEvent)) (cancel func())
	Peers() []node.PeerInfo
}

// Releases brings releases to the folders of instances. *release.Store satisfies it.
type Releases interface {
	Fetch(ctx context.Context, app string, cur release.Current) (release.Release, error)
	Prepare(ctx context.Context, app, instance string, rel release.Release, owner *release.Owner) error
	Switch(app, instance string) error
	Instance(app, instance string) (release.Folder, error)
	InstanceDir(app, instance string) string
	RemoveInstance(app, instance string) error
	RemoveApp(app string) error // all that there is of it
	Prune(app string, keep int, inUse []string) ([]string, error)
}

// Config is what a System is made from. It is not changed after Start.
type Config struct {
	Apps     []AppSpec
	State    *state.Store // all four stay open after Close; their owner closes them afterwards
	Cluster  Cluster
	Releases Releases
	Source   release.Source // whose current.json files are watched

	LogDir   string              // instances log to LogDir/<app>/<instance>-stdout.log and -stderr.log
	LogSpace func() applog.Space // what must stay free where LogDir is; nil: the default

	RoomRetry time.Duration // how long to wait at most before what failed for want of room is tried again; 0: 10 min
	BackRetry time.Duration // how long to wait first before a way back that failed is tried again; 0: 10 s

	JournalDir string // where systemd's journal has its sockets; empty: where it does

	OwnLog       string               // the daemon's own log file, which is rotated too; empty: none
	OwnLogPolicy func() applog.Policy // of it; nil: the default

	HooksDir string // of scripts, in a folder for each step; empty: none

	BaseEnv  []string // the daemon's environment, of which instances get an allow-list
	OmitPath []string // folders that are taken out of the instances' PATH
	Erl      string   // the erl that starts gleam apps; empty: the first on PATH
	Version  string   // of the daemon
	Log      *slog.Logger

	// Ergo runs the actors, and is stopped by Close. It must have been started with Cluster and Shield for peers to see the
	// actors. Nil: one of their own that peers do not see.
	Ergo *bridge.System

	Upgrader    Upgrader    // nil: every deployment is a full one
	Secrets     Secrets     // nil: there are none
	Encryption  Encryption  // nil: instances speak plain TCP
	Confinement Confinement // nil: instances stay in the daemon's cgroup, without limits

	Archives Archives            // nil: nobody looks whether a release can run here before it is started
	Host     func() release.Host // this machine; nil: release.ThisHost

	Clock func() time.Time // what deploy windows go by; nil: time.Now

	Problems func() []api.Problem // of the daemon as a whole, shown in the status; nil: none
}

func (c *Config) check() error {
	switch {
	case c.State == nil:
		return errors.New("actors: no state store")
	case c.Cluster == nil:
		return errors.New("actors: no cluster")
	case c.Releases == nil:
		return errors.New("actors: no releases")
	case c.LogDir == "":
		return errors.New("actors: no log folder")
	}
	return checkSpecs(c.Apps)
}

func checkSpecs(apps []AppSpec) error {
	seen := make(map[string]bool)
	for _, a := range apps {
		if err := release.CheckName(a.Name); err != nil {
			return fmt.Errorf("actors: app: %w", err)
		}
		if seen[a.Name] {
			return fmt.Errorf("actors: app %q is there twice", a.Name)
		}
		if a.Replicas < 0 {
			return fmt.Errorf("actors: app %q has %d replicas", a.Name, a.Replicas)
		}
		seen[a.Name] = true
	}
	return nil
}

// withDefaults fills what was left out.
func (a AppSpec) withDefaults() AppSpec {
	setDefault(&a.Readiness.Timeout, time.Minute)
	setDefault(&a.Readiness.Application, a.Name)
	setDefault(&a.Readiness.Successes, 1)
	setDefault(&a.Strategy.MaxParallel, 1)
	setDefault(&a.Stop, 15*time.Second)
	setDefault(&a.CrashLoop.Limit, 10)
	setDefault(&a.CrashLoop.Window, 10*time.Minute)
	setDefault(&a.RollbackTimeout, 10*time.Minute)
	setDefault(&a.Keep, 3)
	setDefault(&a.History, 200)
	a.Keep = max(a.Keep, 0)
	a.digest = ""
	a.digest = a.settings()
	return a
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
