package api

import "context"

// ConfigChange is one difference between the configuration that is in force and a file.
type ConfigChange struct {
	Path  string `json:"path"` // such as applications[shop].env[LANG].value
	App   string `json:"app,omitempty"`
	Op    string `json:"op"` // changed, added, removed
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"` // secrets are masked in both
	Class string `json:"class"`         // when it counts: immediate, next_start, rolling_restart, daemon_restart, none
}

// ConfigRestart is an app with instances that were started with other settings than those in force.
type ConfigRestart struct {
	App       string   `json:"app"`
	Instances []string `json:"instances"`
}

// ConfigDiff says what a file would change.
type ConfigDiff struct {
	File   string `json:"file"`   // the daemon's; what was compared is its content unless the request had another
	SHA256 string `json:"sha256"` // of what was compared
	// Broken is what is wrong with it, a line each; nothing else is set then.
	Broken  []string       `json:"broken,omitempty"`
	Changes []ConfigChange `json:"changes"`
	// Removals are the apps that the file does not have and whose instances are still there. Each is removed only when that
	// is confirmed.
	Removals []string `json:"removals"`
	// Restarts are the apps with instances that lag behind the settings in force, apart from Changes.
	Restarts  []ConfigRestart `json:"restarts"`
	AutoApply string          `json:"auto_apply"` // off, immediate
}

// ConfigDiffRequest asks what a file would change: the daemon's own with an empty Content.
type ConfigDiffRequest struct {
	Content string `json:"content,omitempty"`
}

// ConfigApplyRequest asks for the daemon's file to be applied.
type ConfigApplyRequest struct {
	SHA256         string   `json:"sha256,omitempty"`          // of the content that was looked at; another one is refused; empty: any
	ConfirmRemoval []string `json:"confirm_removal,omitempty"` // apps that the file does not have and that are to go
	NoRestart      bool     `json:"no_restart,omitempty"`      // instances keep the settings they were started with
}

// ConfigApplied says what was done.
type ConfigApplied struct {
	File       string         `json:"file"`
	Applied    []ConfigChange `json:"applied"`
	Pending    []ConfigChange `json:"pending"`    // those that wait for a restart of the daemon
	Removals   []string       `json:"removals"`   // those that wait for a confirmation
	Removing   []string       `json:"removing"`   // apps that are being removed
	Restarting []string       `json:"restarting"` // apps whose instances are being replaced for their new settings
}

// Configuration is what a daemon can be asked about the file it runs with.
type Configuration interface {
	ConfigDiff(ctx context.Context, r ConfigDiffRequest) (ConfigDiff, error)
	// ConfigApply returns once it is in force; instances may still be on their way.
	ConfigApply(ctx context.Context, r ConfigApplyRequest) (ConfigApplied, error)
}
