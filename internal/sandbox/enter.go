package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes of a process that could not become the program, as of env(1) and its like.
const (
	exitSetup = 125 // the process could not be set up as it was told
	exitExec  = 126 // the program was found and cannot be executed
	exitNone  = 127 // no such program
)

// Main becomes the program that args (os.Args) name, if their first says so, and does not return then. It must be the
// first thing that the binary does.
func Main(args []string) {
	if len(args) < 3 || args[1] != EnterArg {
		return
	}
	runtime.LockOSThread() // what is set on this thread is what the program gets
	os.Exit(enter(args[2], args[3:], os.Stdout, os.Stderr))
}

func enter(text string, argv []string, stdout, stderr io.Writer) int {
	var e Entry
	err := json.Unmarshal([]byte(text), &e)
	if err == nil && len(argv) == 0 && !e.Trial {
		err = errors.New("no program is named")
	}
	if err != nil {
		fmt.Fprintf(stderr, "beamkeeper: %s: %v\n", EnterArg, err)
		return exitSetup
	}
	missing, err := e.prepare()
	if e.Trial {
		if err != nil {
			missing = append(missing, err.Error())
		}
		_ = json.NewEncoder(stdout).Encode(missing) // a reader that is gone needs no answer
		return 0
	}
	for _, m := range missing {
		fmt.Fprintf(stderr, "beamkeeper: sandbox: %s\n", m)
	}
	if err == nil && e.Strict && len(missing) > 0 {
		err = errors.New("strict, and something could not be had")
	}
	if err != nil {
		fmt.Fprintf(stderr, "beamkeeper: sandbox: %v\n", err)
		return exitSetup
	}
	err = unix.Exec(argv[0], argv, os.Environ())
	fmt.Fprintf(stderr, "beamkeeper: execute %s: %v\n", argv[0], err)
	if errors.Is(err, syscall.ENOENT) {
		return exitNone
	}
	return exitExec
}

// prepare sets this process up. missing says in words what the options asked for and the kernel refused.
func (e Entry) prepare() (missing []string, err error) {
	inherited := unix.Umask(0o022) // for what is made for the mounts
	if e.Mounts() {
		missing = e.mount()
		if os.Geteuid() != 0 { // what Attr gave for the mounts
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
				return missing, fmt.Errorf("drop the capabilities of the user namespace: %w", err)
			}
		}
	}
	if e.ProtectKernel {
		missing = append(missing, dropCapabilities()...)
	}
	if err := e.become(); err != nil {
		return missing, err
	}
	if e.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			missing = append(missing, "no_new_privileges: "+err.Error())
		}
	}
	if e.Umask != nil {
		inherited = *e.Umask
	}
	unix.Umask(inherited)
	if e.Dir != "" { // again, in the file system as it is now, and as the user
		if err := os.Chdir(e.Dir); err != nil {
			return missing, err
		}
	}
	return missing, nil
}

// dropCapabilities takes away for good what changes the kernel. They go from the bounding set: a program that is not
// root has none of them anyway, and one that is loses them when it is executed.
func dropCapabilities() []string {
	for _, c := range []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYSLOG, unix.CAP_SYS_TIME} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			if os.Geteuid() != 0 {
				return nil // not root: it has none of them
			}
			return []string{"protect_kernel: drop capabilities: " + err.Error()}
		}
	}
	return nil
}

func (e Entry) become() error {
	if e.UID == nil {
		return nil
	}
	if err := syscall.Setgroups(e.Groups); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if err := syscall.Setgid(e.GID); err != nil {
		return fmt.Errorf("gid %d: %w", e.GID, err)
	}
	if err := syscall.Setuid(*e.UID); err != nil {
		return fmt.Errorf("uid %d: %w", *e.UID, err)
	}
	return nil
}

// exists filters out what is not there.
func exists(paths ...string) []string {
	var there []string
	for _, p := range paths {
		if p = strings.TrimSuffix(p, "/"); p == "" {
			continue
		}
		if _, err := os.Lstat(p); err == nil {
			there = append(there, p)
		}
	}
	return there
}
