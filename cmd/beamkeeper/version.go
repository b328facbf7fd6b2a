package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/state"
)

// version is set by the build: -ldflags "-X main.version=1.2.0".
var version = "dev"

// buildInfo is what `version --json` shows.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes beyond the commit
	BuiltAt  string `json:"commit_time,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`

	StateSchema int `json:"state_schema"` // of the state store that it reads and writes
}

func readBuildInfo() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, StateSchema: state.Schema}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.BuiltAt = s.Value
		}
	}
	return b
}

func (c *cli) versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "The version of this program", Args: arguments()}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := readBuildInfo()
		if *asJSON {
			return printJSON(c.out, b)
		}
		fmt.Fprintf(c.out, "beamkeeper %s", b.Version)
		if b.Commit != "" {
			fmt.Fprintf(c.out, " (%.12s)", b.Commit)
		}
		fmt.Fprintf(c.out, " %s %s/%s\n", b.Go, b.OS, b.Arch)
		return nil
	}
	return cmd
}
