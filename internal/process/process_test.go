package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain also serves as a daemon that starts an instance, tells of it, and ends.
func TestMain(m *testing.M) {
	if c := os.Getenv("PROCESS_TEST_START"); c != "" {
		var command Command
		if err := json.Unmarshal([]byte(c), &command); err != nil {
			panic(err)
		}
		p, err := Start(command)
		if err != nil {
			panic(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(p.Identity()); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const deadline = 20 * time.Second

// testNode keeps apart what runs of this test at the same time, or left behind, have started.
var testNode = fmt.Sprintf("p%d@test", os.Getpid())

// sh is an instance that is a shell script; all its processes are killed at the end of the test.
func sh(t *testing.T, script string) (Command, string) {
	t.Helper()
	dir := t.TempDir()
	instance := fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() {
		found, err := Find(testNode)
		if err != nil {
			t.Error(err)
		}
		for _, f := range found {
			if f.Instance == instance {
				ctx, cancel := context.WithTimeout(context.Background(), deadline)
				defer cancel()
				if err := KillAll(ctx, f.Identity); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return Command{
		Path: "/bin/sh", Args: []string{"-c", script}, Dir: dir,
		Env:    []string{"PATH=" + os.Getenv("PATH"), EnvInstance + "=" + instance, EnvNode + "=" + testNode, EnvApp + "=test"},
		Stdout: filepath.Join(dir, "log", "out.log"), Stderr: filepath.Join(dir, "log", "err.log"),
	}, dir
}

func mustStart(t *testing.T, c Command) *Process {
	t.Helper()
	p, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wait(t *testing.T, p *Process) Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	e, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// eventually waits until f gives nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func contains(path, want string) func() error {
	return func() error {
		b, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(b), want) {
			err = fmt.Errorf("%s = %q, want it to contain %q", path, b, want)
		}
		return err
	}
}

func TestStart_Exit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		want         Exit
		text         string
	}{
		{"zero", "exit 0", Exit{Known: true}, "exit code 0"},
		{"code", "exit 7", Exit{Known: true, Code: 7}, "exit code 7"},
		{"signal", "kill -KILL $$", Exit{Known: true, Code: -1, Signal: syscall.SIGKILL}, "signal 9 (killed)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _ := sh(t, tt.script)
			p := mustStart(t, c)
			e := wait(t, p)
			if d := time.Since(e.At); d < 0 || d > deadline {
				t.Errorf("At is %v ago", d)
			}
			if e.String() != tt.text {
				t.Errorf("String() = %q, want %q", e, tt.text)
			}
			e.At = time.Time{}
			if e != tt.want {
				t.Errorf("exit = %+v, want %+v", e, tt.want)
			}
			if e.Clean() != (tt.name == "zero") {
				t.Errorf("Clean() = %v", e.Clean())
			}
			if err := p.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
				t.Errorf("Signal after the end: %v, want ErrGone", err)
			}
			if _, err := p.Facts(); !errors.Is(err, ErrGone) {
				t.Errorf("Facts after the end: %v, want ErrGone", err)
			}
			if _, err := readStat(p.Identity().OSPID); !errors.Is(err, ErrGone) {
				t.Errorf("not reaped: %v", err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a child of a daemon gets: a session, /dev/null, the two files, and nothing else.
func TestStart_Surroundings(t *testing.T) {
	t.Parallel()
	// A descriptor that the daemon was started with, without close-on-exec.
	leaked, err := syscall.Open(os.DevNull, syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leaked)

	c, dir := sh(t, `echo to-out; echo to-err >&2; readlink /proc/$$/fd/0; ls /proc/$$/fd; pwd; echo "$ODD"; exec sleep 300`)
	odd := "a b \"c\" 'd' $HOME `id`\nnext"
	c.Env = append(c.Env, "ODD="+odd)
	if err := os.MkdirAll(filepath.Dir(c.Stdout), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Stdout, []byte("earlier\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := mustStart(t, c)
	// the shell itself holds 0 1 2 and perhaps 10 or 255, its own copy of the script's input: none with -c
	want := "earlier\nto-out\n/dev/null\n0\n1\n2\n" + dir + "\n" + odd + "\n"
	eventually(t, contains(c.Stdout, want))
	eventually(t, contains(c.Stderr, "to-err\n"))

	s, err := readStat(p.Identity().OSPID)
	if err != nil {
		t.Fatal(err)
	}
	if s.session != s.pid {
		t.Errorf("session = %d, want its own, %d", s.session, s.pid)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	if f.Threads != 1 || f.FDs < 3 || time.Since(f.StartedAt).Abs() > deadline {
		t.Errorf("Facts() = %+v", f)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, p); e.Signal != syscall.SIGTERM {
		t.Errorf("exit = %v, want SIGTERM", e)
	}
}

func TestStart_Errors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name   string
		change func(*Command)
		want   string
	}{
		{"no program", func(c *Command) { c.Path = dir + "/none" }, dir + "/none: no such file"},
		{"directory", func(c *Command) { c.Path = dir }, "is a directory"},
		{"not executable", func(c *Command) { c.Path = write("plain", "#!/bin/sh\n", 0o644) }, "is not executable (mode 0644)"},
		{"no interpreter", func(c *Command) { c.Path = write("script", "#! /no/such/sh -e\n", 0o755) }, "its interpreter /no/such/sh"},
		{"no program format", func(c *Command) { c.Path = write("noise", "noise", 0o755) }, "neither a script"},
		{"no directory", func(c *Command) { c.Dir = dir + "/gone" }, "working directory " + dir + "/gone"},
		{"directory is a file", func(c *Command) { c.Dir = write("file", "", 0o644) }, "not a directory"},
		{"no user", func(c *Command) { c.User = "nobody-of-that-name" }, `OS user "nobody-of-that-name"`},
		{"log in the way", func(c *Command) { c.Stdout = write("file2", "", 0o644) + "/out.log" }, "not a directory"},
		{"no instance", func(c *Command) { c.Env = nil }, EnvInstance},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := sh(t, "exit 0")
			tt.change(&c)
			p, err := Start(c)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start = %v, %v, want an error with %q", p, err, tt.want)
			}
		})
	}
}

func TestStart_OtherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	a, err := LookupAccount("nobody")
	if err != nil {
		t.Skip(err)
	}
	c, _ := sh(t, "id -u; id -g")
	c.User, c.Dir = "nobody", "/"
	wait(t, mustStart(t, c))
	eventually(t, contains(c.Stdout, fmt.Sprintf("%d\n%d\n", a.UID, a.GID)))

	dir := t.TempDir()
	c.Dir = filepath.Join(dir, "closed", "inner")
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(filepath.Dir(c.Dir), 0o700)); err != nil {
		t.Fatal(err)
	}
	want := "the directory " + filepath.Dir(c.Dir) + " (mode 0700) is closed to that user"
	if _, err := Start(c); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Start = %v, want it to say %q", err, want)
	}
}

// The reaping of ours and of os/exec must not take each other's children.
func TestStart_BesideOSExec(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 1)
	go func() {
		for range 50 {
			if err := exec.Command("/bin/sh", "-c", "exit 3").Run(); err == nil || err.Error() != "exit status 3" {
				errs <- err
				return
			}
		}
		errs <- nil
	}()
	for range 50 {
		c, _ := sh(t, "exit 4")
		if e := wait(t, mustStart(t, c)); e.Code != 4 {
			t.Fatalf("exit = %v, want 4", e)
		}
	}
	if err := <-errs; err != nil {
		t.Fatalf("os/exec: %v", err)
	}
}

// startByOther starts c in a daemon that ends at once.
func startByOther(t *testing.T, c Command) Identity {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST_START="+string(b))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output() // would wait for ever if the instance held our pipe
	if err != nil {
		t.Fatal(err)
	}
	var id Identity
	if err := json.Unmarshal(out, &id); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAdopt_OutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	c, _ := sh(t, `trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done`)
	id := startByOther(t, c)
	eventually(t, contains(c.Stdout, "up"))
	p, err := Adopt(id)
	if err != nil {
		t.Fatal(err)
	}
	if p.Identity() != id {
		t.Errorf("Identity() = %v, want %v", p.Identity(), id)
	}
	if _, err := p.Facts(); err != nil {
		t.Error(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	e := wait(t, p)
	if !e.Known || e.Code != 9 {
		t.Errorf("exit = %+v (%v), want code 9", e, e)
	}
	if _, err := Adopt(id); !errors.Is(err, ErrGone) {
		t.Errorf("Adopt of an ended process: %v, want ErrGone", err)
	}
}

func TestAdopt_Refuses(t *testing.T) {
	t.Parallel()
	c, _ := sh(t, "echo up; exec sleep 300")
	p := mustStart(t, c)
	eventually(t, contains(c.Stdout, "up"))
	tests := []struct {
		name   string
		change func(*Identity)
		want   error
	}{
		{"other start time", func(id *Identity) { id.StartTime++ }, ErrGone},
		{"other boot", func(id *Identity) { id.BootID = "x" }, ErrGone},
		{"other instance", func(id *Identity) { id.Instance += "x" }, ErrNotOurs},
		{"no pid", func(id *Identity) { id.OSPID = 0 }, ErrGone},
		{"init", func(id *Identity) { id.OSPID = 1 }, ErrGone},
		{"pid of nobody", func(id *Identity) { id.OSPID = 1 << 22 }, ErrGone},
	}
	for _, tt := range tests {
		id := p.Identity()
		tt.change(&id)
		if q, err := Adopt(id); !errors.Is(err, tt.want) {
			t.Errorf("%s: Adopt = %v, %v, want %v", tt.name, q, err, tt.want)
		}
	}
}

// A watcher that was closed leaves the process alone, and another one takes over, with the exit code.
func TestClose_ThenAdopt(t *testing.T) {
	t.Parallel()
	c, dir := sh(t, `while [ ! -e go ]; do sleep 0.01; done; exit 5`)
	p := mustStart(t, c)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Signal after Close: %v, want os.ErrClosed", err)
	}
	q, err := Adopt(p.Identity())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, q); !e.Known || e.Code != 5 {
		t.Errorf("exit = %+v, want 5", e)
	}
	if s, err := readStat(p.Identity().OSPID); !errors.Is(err, ErrGone) {
		t.Errorf("not reaped: %+v, %v", s, err)
	}
	if _, ended := p.Exit(); ended {
		t.Error("a closed watcher saw the end")
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	line := "42 (a) b) (c\n) S 7 42 41 0 -1 4194304 1 2 3 4 10 20 1 0 20 0 9 0 98238 2206556160 28873 18446744073709551615 1"
	s, err := parseStat([]byte(line))
	want := stat{pid: 42, comm: "a) b) (c\n", state: 'S', ppid: 7, session: 41, utime: 10, stime: 20, threads: 9, start: 98238, rss: 28873}
	if err != nil || s != want {
		t.Errorf("parseStat = %+v, %v, want %+v", s, err, want)
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 1 2", strings.Replace(line, "98238", "x", 1)} {
		if s, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", bad, s)
		}
	}
}
