package main

import (
	"io/fs"
	"os"
	"strconv"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sandbox"
)

// surroundings says in the words of package actors what the instances of an app find besides their release.
func surroundings(a config.App) actors.Surroundings {
	s := actors.Surroundings{
		Group: a.Group, ReadOnly: readOnlyTree(a), EnvFiles: a.EnvFiles, VMArgs: a.VMArgs, Sandbox: sandboxOptions(a.Sandbox),
	}
	if a.Umask != "" {
		umask := int(fileMode(a.Umask))
		s.Umask = &umask
	}
	for _, d := range a.Dirs {
		s.Dirs = append(s.Dirs, launch.Dir{Kind: d.Kind, Path: d.Path, Mode: fileMode(d.Mode)})
	}
	for _, f := range a.Files {
		s.Files = append(s.Files, launch.Placement{
			Path: f.Path, Source: f.Source, Content: f.Content, Template: f.Template, User: f.User, Group: f.Group, Mode: fileMode(f.Mode),
		})
	}
	return s
}

// readOnlyTree says whether an app's instances may not write into their release: when told so, and, unless told
// otherwise, when they run as somebody else than the daemon.
func readOnlyTree(a config.App) bool {
	if a.ReleaseTree != "" || a.User == "" {
		return a.ReleaseTree == "read_only"
	}
	account, err := process.LookupAccount(a.User)
	return err != nil || int(account.UID) != os.Geteuid()
}

// fileMode reads octal digits that the configuration has checked.
func fileMode(digits string) fs.FileMode {
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil {
		panic("mode " + digits + " was not checked") // the pattern of the key lets nothing else through
	}
	return fs.FileMode(n)
}

func sandboxOptions(c config.Sandbox) sandbox.Options {
	o := sandbox.Options{
		Strict: c.Strict, NoNewPrivileges: c.NoNewPrivileges, PrivateTmp: c.PrivateTmp, PrivateDevices: c.PrivateDevices,
		ProtectKernel: c.ProtectKernel, ReadWrite: c.ReadWrite, ReadOnly: c.ReadOnly, Inaccessible: c.Inaccessible,
	}
	switch c.ProtectSystem {
	case "on":
		o.ProtectSystem = "true"
	case "full", "strict":
		o.ProtectSystem = c.ProtectSystem
	}
	switch c.ProtectHome {
	case "hidden":
		o.ProtectHome = "true"
	case "read_only":
		o.ProtectHome = "read-only"
	}
	if c.Preset == "paranoia" {
		o = o.Paranoia()
	}
	return o
}
