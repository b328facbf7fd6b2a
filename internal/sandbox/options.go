// Package sandbox starts a program with what cannot be set from outside of a process: umask, group, no_new_privileges,
// and a view of the file system of its own.
//
// The daemon starts its own binary as EnterArg; that process sets itself up as it was told, becomes the OS user, and
// executes the program: OS pid, session, descriptors and environment stay. The names of the options are those of
// systemd.exec(5). A daemon that is not root uses a user namespace for the mounts, where the kernel allows it.
package sandbox

import (
	"encoding/json"
	"fmt"
)

// Options is what a program must not do or see. The zero value forbids nothing.
type Options struct {
	Strict          bool     `json:"strict,omitempty"` // refuse to start when one of them cannot be had
	NoNewPrivileges bool     `json:"no_new_privileges,omitempty"`
	PrivateTmp      bool     `json:"private_tmp,omitempty"`
	PrivateDevices  bool     `json:"private_devices,omitempty"`
	ProtectSystem   string   `json:"protect_system,omitempty"` // "", "true" (/usr, /boot), "full" (and /etc), "strict" (everything)
	ProtectHome     string   `json:"protect_home,omitempty"`   // "", "true" (empty), "read-only"
	ProtectKernel   bool     `json:"protect_kernel,omitempty"` // /proc/sys, /sys, cgroups read-only; no modules
	ReadWrite       []string `json:"read_write_paths,omitempty"`
	ReadOnly        []string `json:"read_only_paths,omitempty"`
	Inaccessible    []string `json:"inaccessible_paths,omitempty"`
}

// Any says whether anything is forbidden.
func (o Options) Any() bool { return o.NoNewPrivileges || o.Mounts() || o.ProtectKernel }

// Mounts says whether the program gets a view of the file system of its own.
func (o Options) Mounts() bool {
	return o.PrivateTmp || o.PrivateDevices || o.ProtectSystem != "" || o.ProtectHome != "" || o.ProtectKernel ||
		len(o.ReadOnly)+len(o.Inaccessible) > 0
}

// Paranoia adds to o what mix_systemd's option of that name asked for.
func (o Options) Paranoia() Options {
	o.NoNewPrivileges, o.PrivateTmp, o.PrivateDevices, o.ProtectKernel = true, true, true, true
	if o.ProtectSystem == "" {
		o.ProtectSystem = "full"
	}
	if o.ProtectHome == "" {
		o.ProtectHome = "true"
	}
	return o
}

// Entry is how a program is entered: what the daemon tells the process that becomes it.
type Entry struct {
	Options
	Umask  *int     `json:"umask,omitempty"`
	UID    *int     `json:"uid,omitempty"` // with GID and Groups; nil: the daemon's own
	GID    int      `json:"gid,omitempty"`
	Groups []int    `json:"groups,omitempty"`
	Dir    string   `json:"dir"`
	Keep   []string `json:"keep,omitempty"` // folders that stay as they are and writable whatever the options say
	Tmp    string   `json:"tmp,omitempty"`  // folder that holds the private /tmp and /var/tmp
	Trial  bool     `json:"trial,omitempty"`
}

// EnterArg is the first argument of the binary when it is to become a program.
const EnterArg = "enter-sandbox"

// Command gives the path and the arguments (after the program's name) that make our own binary become path with args.
func (e Entry) Command(path string, args []string) (string, []string, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return "", nil, fmt.Errorf("sandbox: %w", err)
	}
	return "/proc/self/exe", append([]string{EnterArg, string(b), path}, args...), nil
}
