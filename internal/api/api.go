// Package api holds the shapes of the control API: what the daemon answers and what its clients send, as JSON.
//
// Times are RFC 3339 in UTC with milliseconds (type Time); durations are integers with the unit in the key.
package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Time is a point in time that JSON shows in UTC with milliseconds. The zero Time is shown as null.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.UTC().Format(timeLayout))
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		t.Time = time.Time{}
		return nil
	}
	return t.Time.UnmarshalJSON(b)
}

// InstanceState is where an instance is in its life.
type InstanceState string

// The states of an instance.
const (
	StateStarting    InstanceState = "starting"
	StatePreCommands InstanceState = "pre_commands"
	StateRunning     InstanceState = "running"
	StateStopping    InstanceState = "stopping"
	StateBackoff     InstanceState = "backoff"
	StateStopped     InstanceState = "stopped"
	StateFailed      InstanceState = "failed"
)

// Status is the answer of GET /v1/status.
type Status struct {
	Node      string    `json:"node"`
	Version   string    `json:"version"`
	StartedAt Time      `json:"started_at"`
	Apps      []App     `json:"apps"`
	Problems  []Problem `json:"problems,omitempty"` // of the daemon as a whole, e.g. no EPMD

	CertificateExpiresAt Time `json:"certificate_expires_at,omitzero"` // of the daemon's distribution over TLS; absent without
}

// App is a managed unit of the configuration.
type App struct {
	Name           string      `json:"name"`
	Language       string      `json:"language"`
	Mode           string      `json:"mode"` // automatic, pinned, frozen or stopped (by an operator), removing (from the configuration)
	DesiredVersion string      `json:"desired_version"`
	Ghosted        []string    `json:"ghosted"`
	Replicas       int         `json:"replicas"`
	Instances      []Instance  `json:"instances"`
	Deployment     *Deployment `json:"deployment,omitempty"` // the one under way, or the last one if it failed
	Waiting        *Waiting    `json:"waiting,omitempty"`    // what current.json names, for a deploy window
	Problems       []Problem   `json:"problems,omitempty"`   // e.g. a broken current.json: file, line, reason
	Limits         *Limits     `json:"limits,omitempty"`     // of each instance; absent when there are none
}

// Waiting is a version that is not deployed before its time.
type Waiting struct {
	Version string `json:"version"`
	Until   Time   `json:"until"` // null: never, as the windows stand
	Windows string `json:"windows"`
}

// Problem is something an operator should know or mend.
type Problem struct {
	Since  Time   `json:"since"`
	What   string `json:"what"`             // what is wrong and where (file:line: reason)
	Remedy string `json:"remedy,omitempty"` // what to do about it
}

// Instance is one OS process (one BEAM) filling a replica.
type Instance struct {
	Name           string         `json:"name"`
	Node           string         `json:"node"`
	State          InstanceState  `json:"state"`
	Version        string         `json:"version"`
	OSPID          int            `json:"os_pid"`
	OTPConnected   bool           `json:"otp_connected"`
	OTPRelease     string         `json:"otp_release"`
	CrashRestarts  int            `json:"crash_restarts"`
	ForcedRestarts int            `json:"forced_restarts"`
	LastDeployment string         `json:"last_deployment"` // full, hot
	StartedAt      Time           `json:"started_at"`      // of the OS process
	Ports          map[string]int `json:"ports"`
	Slot           int            `json:"slot"`
	Readiness      []Step         `json:"readiness,omitempty"`
	LastError      string         `json:"last_error,omitempty"`
	RetryAt        Time           `json:"retry_at"` // in backoff: when it is started again

	CertificateExpiresAt Time `json:"certificate_expires_at,omitzero"` // of its distribution over TLS; absent without

	Upgrade *InstanceUpgrade `json:"upgrade,omitempty"` // hot, and not permanent yet

	OldSettings bool `json:"old_settings,omitempty"` // it was started with other settings than those of the configuration now

	Sees []string `json:"sees,omitzero"` // siblings that it is connected to; absent when the app is no mesh, or it was not asked yet
}

// Step is one link of the readiness chain: process, node, application, probe.
type Step struct {
	Name   string `json:"name"`
	State  string `json:"state"` // waiting, passed, failed, skipped
	AgeMS  int64  `json:"age_ms"`
	Detail string `json:"detail,omitempty"`
}

// Outcomes of a deployment.
const (
	DeploymentRunning    = "running"
	DeploymentSucceeded  = "succeeded"
	DeploymentFailed     = "failed"
	DeploymentSuperseded = "superseded" // a newer wish replaced it
	DeploymentAborted    = "aborted"
	DeploymentReverted   = "reverted" // a hot one that an operator had taken back
	DeploymentRefused    = "refused"  // what was to be deployed could not run here: nothing was changed
)

// Deployment is one attempt to move an app to a version.
type Deployment struct {
	ID        string               `json:"id"`
	App       string               `json:"app"`
	From      string               `json:"from"`
	To        string               `json:"to"`
	Hash      string               `json:"hash,omitempty"`
	Kind      string               `json:"kind"`             // full, hot, scale
	Trigger   string               `json:"trigger"`          // current.json, operator, api, start, scale, restart, config, restore, rollback
	By        string               `json:"by,omitempty"`     // who asked for it by the Erlang API: APP/INSTANCE, or a node
	Author    string               `json:"author,omitempty"` // who asked for it: an OS user, APP/INSTANCE, or a node; empty: nobody
	Why       string               `json:"why,omitempty"`    // it is full, and not hot
	Outcome   string               `json:"outcome"`
	Error     string               `json:"error,omitempty"`
	LogTail   []string             `json:"log_tail,omitempty"` // of the instance that failed
	StartedAt Time                 `json:"started_at"`
	EndedAt   Time                 `json:"ended_at"`
	Instances []DeploymentInstance `json:"instances"`
	Steps     []DeploymentStep     `json:"steps"` // of the deployment as a whole: fetch, verify, unpack, hooks, pre_command
}

// DeploymentInstance is what a deployment did for one replica.
type DeploymentInstance struct {
	Name     string           `json:"name"`
	Replaces string           `json:"replaces,omitempty"`
	Slot     int              `json:"slot"`
	Steps    []DeploymentStep `json:"steps"` // prepare, start, process, node, application, probe, stop_old …
}

// DeploymentStep is one journaled step.
type DeploymentStep struct {
	Name      string `json:"name"`
	StartedAt Time   `json:"started_at"`
	EndedAt   Time   `json:"ended_at"`
	Error     string `json:"error,omitempty"`
	Detail    string `json:"detail,omitempty"`

	// Of what was run: a hook, or one of the release's pre_commands.
	Command  string   `json:"command,omitempty"` // what was run; of a hook without its arguments
	ExitCode *int     `json:"exit_code,omitempty"`
	Output   []string `json:"output,omitempty"` // its last lines
}

// Event is one thing that happened.
type Event struct {
	ID         uint64         `json:"id"` // grows by one for each event, over restarts too
	Time       Time           `json:"time"`
	Type       string         `json:"type"`  // crash_restart, deployment_started, …
	Level      string         `json:"level"` // info, warning, error
	App        string         `json:"app,omitempty"`
	Instance   string         `json:"instance,omitempty"`
	Deployment string         `json:"deployment,omitempty"`
	Version    string         `json:"version,omitempty"`
	Message    string         `json:"message"`
	Data       map[string]any `json:"data,omitempty"`
}

// Types of events. The first group has DeployEx's names.
const (
	EventCrashRestart       = "crash_restart"
	EventDeploymentStarted  = "deployment_started"
	EventDeploymentComplete = "deployment_complete" // Data["outcome"]
	EventApplicationReady   = "application_ready"
	EventDeploymentShutdown = "deployment_shutdown" // a forced restart

	EventDeploymentFailed = "deployment_failed"
	EventInstanceStarted  = "instance_started"
	EventInstanceStopped  = "instance_stopped"
	EventInstanceFailed   = "instance_failed" // crash loop
	EventReleasePublished = "release_published"
	EventReleaseBroken    = "release_broken" // a broken current.json or archive
	EventReleaseMended    = "release_mended"
	EventSecretsRotated   = "secrets_rotated" // secrets of an app have other values; Data["keys"] names them
	EventReleaseRefused   = "release_refused" // a current.json that is not signed as it must be, or a release that cannot run here; Data["reasons"]
	EventNodeUp           = "node_up"
	EventNodeDown         = "node_down"
	EventSiblingLost      = "sibling_unreachable" // two instances of a mesh cannot be connected; Data["sibling"], ["attempts"]
	EventSiblingBack      = "sibling_reconnected" // they can
	EventDaemonStarted    = "daemon_started"
	EventDaemonStopped    = "daemon_stopped"
	EventActorRestarted   = "actor_restarted" // a crash inside the daemon that the tree repaired
	EventScaled           = "scaled"
	EventDownload         = "download"
	EventLogProblem       = "log_problem"           // rotation, space or budget of log files
	EventConfigChanged    = "config_changed"        // the file: what it would change is not in force yet
	EventConfigApplied    = "config_change_applied" // what it changes is in force
	EventConfigBroken     = "config_broken"
	EventConfigMended     = "config_mended"
	EventRestartFlag      = "restart_flag" // somebody asked for a restart by touching restart.flag
	EventAppAdded         = "app_added"
	EventAppRemoved       = "app_removed" // its instances have stopped, its data is kept
	EventAppPurged        = "app_purged"

	EventCommandEnded = "command_ended" // a hook or a pre_command; Data["step"], ["command"], ["exit_code"], ["output"]
	EventHookSkipped  = "hook_skipped"  // a script that others may write

	EventVersionGhosted = "version_ghosted"
	EventRoomRetry      = "room_retry" // what failed for want of room on the machine is tried again
	EventGhostCleared   = "ghost_cleared"
	EventVersionSkipped = "version_skipped" // current.json names a version that is not deployed: a ghost, or the app is pinned or frozen
	EventNewCandidate   = "new_candidate"   // another archive of a version that is a ghost
	EventVersionWaits   = "version_waits"   // current.json names a version that waits for a deploy window; Data["until"]
	EventVersionPinned  = "version_pinned"
	EventVersionFree    = "version_unpinned"
	EventRollback       = "rollback_started" // a version that was brought crashed too often
	EventAppFrozen      = "app_frozen"
	EventAppUnfrozen    = "app_unfrozen"

	EventUpgradeInstalled = "upgrade_installed" // an instance runs a version that is not permanent yet
	EventUpgradeWaits     = "upgrade_waits"     // for an operator to make it permanent
	EventUpgradeCommitted = "upgrade_committed" // an instance boots it from now on
	EventUpgradeFailed    = "upgrade_failed"    // a hot deployment is taken back
	EventUpgradeReverted  = "upgrade_reverted"  // an instance runs the version before again
	EventUpgradeBroken    = "upgrade_broken"    // an instance is between versions, and is replaced
	EventUpgradeFallback  = "upgrade_fallback"  // a hot deployment goes on as a full one

	EventStateUnwritable = "state_unwritable" // the disk is full or read-only, say; what runs goes on
	EventStateWritable   = "state_writable"   // again
	EventInstanceAdopted = "instance_adopted" // an operator's word made an unknown one ours

	EventCertificateRenewed = "certificate_renewed"
	EventCertificateProblem = "certificate_problem"
)

// HistoryEntry is one version that a replica of an app has had.
type HistoryEntry struct {
	At         Time   `json:"at"`
	Version    string `json:"version"`
	Hash       string `json:"hash,omitempty"`
	Instance   string `json:"instance"`
	Kind       string `json:"kind"`
	Deployment string `json:"deployment"`
	By         string `json:"by,omitempty"` // By of the deployment, or else its Trigger

	// Of the deployment.
	Author  string `json:"author,omitempty"`
	Outcome string `json:"outcome,omitempty"` // empty: not known any more
	TookMS  int64  `json:"took_ms,omitempty"`
}

// NodeInfo is one node of the cluster as the daemon sees it.
type NodeInfo struct {
	Name       string `json:"name"`
	State      string `json:"state"` // up, down
	Hidden     bool   `json:"hidden"`
	App        string `json:"app,omitempty"`
	Instance   string `json:"instance,omitempty"`
	OTPRelease string `json:"otp_release,omitempty"`
	Since      Time   `json:"since"`
	BytesIn    uint64 `json:"bytes_in"`
	BytesOut   uint64 `json:"bytes_out"`
}

// Target names an app, or one instance of it when Instance is set. Written APP or APP/INSTANCE.
type Target struct {
	App      string `json:"app"`
	Instance string `json:"instance,omitempty"`
}

func (t Target) String() string {
	if t.Instance == "" {
		return t.App
	}
	return t.App + "/" + t.Instance
}

// MaxReplicas is how many replicas an app may have: a slip of the finger must not start a machine's worth of BEAMs.
const MaxReplicas = 1000

// DeployRequest asks for a version. An empty Version means the one that current.json names.
type DeployRequest struct {
	App     string `json:"app"`
	Version string `json:"version,omitempty"`
	Force   bool   `json:"force,omitempty"` // a ghost too, which it is no longer then
	Kind    string `json:"kind,omitempty"`  // KindHot or KindFull; empty: as the plan says
}

// LogRequest asks for the lines of an app's or an instance's log files, compressed history included. Lines of several files
// come in the order of their times.
type LogRequest struct {
	Target
	Stream string `json:"stream,omitempty"` // stdout, stderr; empty: both
	Lines  int    `json:"lines"`            // the last so many of each file that match; 0: all
	Follow bool   `json:"follow"`
	Since  Time   `json:"since,omitzero"`   // of this time or later
	Until  Time   `json:"until,omitzero"`   // before
	Level  string `json:"level,omitempty"`  // at least so grave: debug, info, notice, warning, error, critical, alert, emergency
	Grep   string `json:"grep,omitempty"`   // regular expression (RE2)
	Invert bool   `json:"invert,omitempty"` // lines that do not match
	All    bool   `json:"all,omitempty"`    // of an app: with the instances that are gone

	// From continues an earlier answer: by INSTANCE/STREAM, the End of the last line that came. Files that are not in it are
	// given from their beginning, and Lines does not count. Nil: not continued.
	From map[string]int64 `json:"from,omitempty"`
}

// LogLine is one line of a log file.
type LogLine struct {
	Instance string `json:"instance"`
	Stream   string `json:"stream"`
	Time     Time   `json:"time"`            // its own; else that of the line before, else when it arrived, as far as that is known
	Level    string `json:"level,omitempty"` // its own, or that of the line it belongs to
	Text     string `json:"text"`
	End      int64  `json:"end"` // where in its file's stream the next line begins, see LogRequest.From
}

// RPCRequest asks an instance to evaluate one call, written as Erlang text: lists:seq(1,3).
// With a Target that names only the app, its first ready instance answers.
type RPCRequest struct {
	Target
	Call      string `json:"call"`
	TimeoutMS int64  `json:"timeout_ms"`
}

// RPCReply is the value of the call. Class is empty for a value, else throw, exit or error.
type RPCReply struct {
	Node  string `json:"node"`
	Class string `json:"class,omitempty"`
	Text  string `json:"text"` // the term as ~tp prints it
}

// Health is the answer of GET /health, in DeployEx's shape.
type Health struct {
	Status    string `json:"status"` // ok
	Timestamp Time   `json:"timestamp"`
}

// Unclaimed is an instance that runs under the daemon's node name and that the daemon has no record of.
type Unclaimed struct {
	App       string `json:"app"`
	Instance  string `json:"instance"`
	OSPID     int    `json:"os_pid"`
	StartedAt Time   `json:"started_at"`
}

// Adopted is what became of an Unclaimed that was to be adopted.
type Adopted struct {
	App      string `json:"app"`
	Instance string `json:"instance"`
	OSPID    int    `json:"os_pid"`
	Version  string `json:"version"`
	Error    string `json:"error,omitempty"` // why it was not; empty: it was
}

// StateBackup is a copy of the daemon's state.
type StateBackup struct {
	Path      string `json:"path"`
	At        Time   `json:"at"`
	SizeBytes int64  `json:"size_bytes"`
}

// StateReport is what a check of the daemon's state has found.
type StateReport struct {
	Path    string        `json:"path"`
	Found   []string      `json:"found"`   // what is wrong; none: the state is whole
	Backups []StateBackup `json:"backups"` // the newest first
}

// StateKeeper is what can be asked about the daemon's state.
type StateKeeper interface {
	BackupState(ctx context.Context) (StateBackup, error)
	CheckState(ctx context.Context) (StateReport, error)
	ExportState(ctx context.Context) (any, error) // everything, for JSON
}

// Control is what a daemon can be asked. The supervision tree satisfies it in process, Client over the socket.
//
// Every error a caller is meant to understand is an *Error.
type Control interface {
	Status(ctx context.Context) (Status, error)
	Deploy(ctx context.Context, r DeployRequest) (Deployment, error) // returns once it is accepted
	Deployments(ctx context.Context, app string, limit int) ([]Deployment, error)
	Deployment(ctx context.Context, id string) (Deployment, error)
	AbortDeployment(ctx context.Context, id string) error
	Start(ctx context.Context, t Target) error
	Stop(ctx context.Context, t Target) error
	Restart(ctx context.Context, t Target) error
	Scale(ctx context.Context, app string, replicas int) error
	Purge(ctx context.Context, app string) error            // what is left of an app that was removed from the configuration
	Unclaimed(ctx context.Context) ([]Unclaimed, error)     // running instances without a record, offered for adoption
	Adopt(ctx context.Context, t Target) ([]Adopted, error) // those that t names; all with an empty App
	History(ctx context.Context, app string) ([]HistoryEntry, error)
	Versions
	Upgrades
	Planner
	Nodes(ctx context.Context) ([]NodeInfo, error)
	RPC(ctx context.Context, r RPCRequest) (RPCReply, error)

	// Events calls yield for each kept event with an ID above since, then, with follow, for each new one
	// until ctx ends or yield returns false.
	Events(ctx context.Context, since uint64, follow bool, yield func(Event) bool) error
	// Logs calls yield for each line until the end, or, with Follow, until ctx ends or yield returns false.
	Logs(ctx context.Context, r LogRequest, yield func(LogLine) bool) error
}

// Code says what kind of error it is; the command line turns it into its exit code.
type Code string

// The codes, with the exit code and HTTP status that go with each.
const (
	CodeFailed      Code = "failed"      // 1, 500
	CodeUsage       Code = "usage"       // 2, 400
	CodeNotFound    Code = "not_found"   // 3, 404
	CodeDenied      Code = "denied"      // 4, 403
	CodeUnreachable Code = "unreachable" // 5, 502 (never sent by the daemon)
	CodeRefused     Code = "refused"     // 6, 409: a check said no, nothing changed
	CodeTimeout     Code = "timeout"     // 7, 504: timed out, still going on
)

// Error is an error for people: what happened, why, and what to do.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Err     error  `json:"-"`
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, which stays in the process that made the error.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an *Error.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}
