package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Start starts c in a session of its own and watches it.
//
// The process gets /dev/null as its input, the two files as its output, and no other descriptor of ours. It knows
// nothing of the daemon's life: when we end, it runs on. The start scripts of mix and relx releases, and erl, exec
// their way to beam.smp: the OS pid is the BEAM's own (seen with OTP 25, 27 and 29).
//
// The error says what was missing: the program, its interpreter, the directory, the user. Nothing is left behind
// then, except log files.
func Start(c Command) (*Process, error) {
	for _, f := range c.Output {
		defer f.Close() // nil: says so, and that is all
	}
	instance := lookupEnv(c.Env, EnvInstance)
	if instance == "" {
		return nil, fmt.Errorf("process: start %s: the environment has no %s", c.Path, EnvInstance)
	}
	p, err := start(c, instance)
	if err != nil {
		return nil, fmt.Errorf("process: start %q: %w", instance, err)
	}
	return p, nil
}

func start(c Command, instance string) (*Process, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	credential, err := c.credential()
	if err != nil {
		return nil, err
	}
	files, err := openFiles(c)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	if c.Dir == "" {
		c.Dir = "/"
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   c.Env,
		Files: []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: credential, PidFD: &pidfd},
	}
	path, argv, err := c.enter(attr)
	if err != nil {
		return nil, err
	}
	keepDescriptors()
	pid, err := startProcess(path, argv, attr)
	if err != nil {
		return nil, explainStart(c, err)
	}
	if pidfd < 0 {
		pidfd, err = unix.PidfdOpen(pid, 0)
	}
	var s stat
	if err == nil {
		s, err = readStat(pid) // a child stays in /proc until we reap it
	}
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // our own unreaped child: the pid is still its
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
		return nil, fmt.Errorf("watch OS pid %d: %w", pid, err)
	}
	id := Identity{OSPID: pid, StartTime: s.start, BootID: boot, Instance: instance, Node: lookupEnv(c.Env, EnvNode)}
	return watch(id, pidfd, true)
}

// credential says whom the process runs as; nil for the daemon's own user and group.
func (c Command) credential() (*syscall.Credential, error) {
	if c.User == "" && c.Group == "" {
		return nil, nil
	}
	name := c.User
	if name == "" {
		name = strconv.Itoa(os.Geteuid())
	}
	a, err := LookupAccount(name)
	if err == nil {
		a, err = a.inGroup(c.Group)
	}
	if err != nil {
		return nil, err
	}
	return a.credential()
}

// enter gives the program to start: c's, or, when there is something to be done first, our own binary, which becomes it.
func (c Command) enter(attr *syscall.ProcAttr) (path string, argv []string, err error) {
	if c.Enter == nil {
		return c.Path, append([]string{c.Path}, c.Args...), nil
	}
	if st, err := os.Stat(c.Path); err != nil || st.IsDir() || st.Mode()&0o111 == 0 {
		return "", nil, explainStart(c, errors.Join(err, syscall.EACCES)) // before it is one of many lines in a log
	}
	e := *c.Enter
	e.Dir = c.Dir
	if cred := attr.Sys.Credential; cred != nil {
		uid := int(cred.Uid)
		e.UID, e.GID = &uid, int(cred.Gid)
		for _, g := range cred.Groups {
			e.Groups = append(e.Groups, int(g))
		}
		attr.Sys.Credential = nil // the process itself becomes the user, after what needs root
	}
	e.Attr(attr.Sys)
	path, args, err := e.Command(c.Path, c.Args)
	return path, append([]string{"beamkeeper"}, args...), err
}

// openFiles opens standard input, output and error; what it opened is returned with an error too.
func openFiles(c Command) ([]*os.File, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	files := []*os.File{null}
	for i, path := range []string{c.Stdout, c.Stderr} {
		if c.Output[i] != nil {
			files = append(files, c.Output[i])
			continue
		}
		f, err := openLog(path)
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

// openLog opens a log file for appending. Each file is opened for itself, never shared with the daemon, and needs no
// right of the instance's user: the descriptor is inherited.
func openLog(path string) (*os.File, error) {
	if path == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// keepDescriptors marks all our descriptors close-on-exec. Go opens its own so; what we were started with (a socket of
// the service manager, a file left open by a shell) is not, and would live on in every instance.
func keepDescriptors() {
	if unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	names, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return // nothing more to be done; an inherited descriptor is a blemish, not a failure
	}
	for _, n := range names {
		var fd int
		if _, err := fmt.Sscanf(n.Name(), "%d", &fd); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// startProcess waits out ETXTBSY: a fork elsewhere in the daemon holds a copy of the descriptor that a just unpacked
// program was written with, until its own exec.
func startProcess(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	deadline := time.Now().Add(2 * time.Second)
	for {
		pid, _, err := syscall.StartProcess(path, argv, attr)
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(deadline) {
			return pid, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// explainStart says which of the things behind one errno it was.
func explainStart(c Command, err error) error {
	if st, e := os.Stat(c.Dir); e != nil || !st.IsDir() {
		return fmt.Errorf("working directory %s: %w", c.Dir, orNotDir(e))
	}
	st, e := os.Stat(c.Path)
	switch {
	case e != nil:
		return e
	case st.IsDir():
		return fmt.Errorf("%s is a directory", c.Path)
	case st.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable (mode %#o): %w", c.Path, st.Mode().Perm(), err)
	}
	switch {
	case errors.Is(err, syscall.ENOENT):
		if i := interpreter(c.Path); i != "" {
			return fmt.Errorf("%s: its interpreter %s: %w", c.Path, i, err)
		}
		return fmt.Errorf("%s: its dynamic loader is missing (built for another system?): %w", c.Path, err)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s: neither a script with #! nor a program for this machine: %w", c.Path, err)
	case c.User != "" && errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s as OS user %s: %w%s", c.Path, c.User, err, closedTo(c.User, c.Path, c.Dir))
	}
	return fmt.Errorf("%s: %w", c.Path, err)
}

// closedTo names the first directory above one of the paths that the OS user may not pass.
func closedTo(name string, paths ...string) string {
	a, err := LookupAccount(name)
	if err != nil {
		return ""
	}
	for _, path := range paths {
		for i, r := range path + "/" {
			if r != '/' || i == 0 {
				continue
			}
			var st syscall.Stat_t
			if err := syscall.Stat(path[:i], &st); err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR && !a.mayPass(st) {
				return fmt.Sprintf(": the directory %s (mode %#o) is closed to that user: chmod o+x it, or make the user a member of its group",
					path[:i], st.Mode&0o777)
			}
		}
	}
	return ""
}

func orNotDir(err error) error {
	if err == nil {
		return syscall.ENOTDIR
	}
	return err
}

// interpreter returns the program of a script's first line, or "".
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head, _ := io.ReadAll(io.LimitReader(f, 256))
	line, _, _ := bytes.Cut(head, []byte("\n"))
	rest, found := bytes.CutPrefix(line, []byte("#!"))
	if !found {
		return ""
	}
	fields := strings.Fields(string(rest))
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

func lookupEnv(env []string, key string) string {
	for _, kv := range env {
		if k, v, _ := strings.Cut(kv, "="); k == key {
			return v
		}
	}
	return ""
}
