package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/beamkeeper/beamkeeper/web"
)

func TestMain(m *testing.M) {
	runAsProgram()
	testscript.Main(thenRemoveBinary{m}, map[string]func(){
		"beamkeeper": main,
		"fakedaemon": fakeDaemon,
	})
}

// thenRemoveBinary runs the tests and removes the program that was built for them.
type thenRemoveBinary struct{ m *testing.M }

func (t thenRemoveBinary) Run() int {
	code := t.m.Run()
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir) // in the folder for temporary files
	}
	return code
}

// fakeDaemon serves a fakeControl on the socket in $BEAMKEEPER_SOCKET until it is interrupted.
func fakeDaemon() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := web.ListenUnix(os.Getenv("BEAMKEEPER_SOCKET"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := web.New(newFakeControl(), web.Options{})
	go func() {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Close(closing) // the process ends anyway
	}()
	if err := s.Serve(ln, s.Handler()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BEAMKEEPER_SOCKET", "")
			env.Setenv("BEAMKEEPER_CONFIG", "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":    scriptCode,
			"waitfor": scriptWaitFor,
			"mode":    scriptMode,
			"tarball": scriptTarball,
		},
	})
}

// scriptCode runs a command and wants an exit code: code 5 beamkeeper status.
func scriptCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var ok bool
		if got, ok = exitCode(err); !ok {
			ts.Fatalf("%v: %v", args[1:], err)
		}
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("%v: exit code %d, want %s", args[1:], got, args[0])
	}
}

func exitCode(err error) (int, bool) {
	coder, ok := err.(interface{ ExitCode() int }) //nolint:errorlint // Exec returns *exec.ExitError as it is
	if !ok {
		return 0, false
	}
	return coder.ExitCode(), true
}

// scriptWaitFor waits until a file exists.
func scriptWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	ts.Fatalf("%s did not appear", path)
}

// scriptMode wants a file to have a mode: mode 400 var/cookie.
func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	fi, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", fi.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// scriptTarball makes the archive of a small release without an ERTS: tarball FILE LANGUAGE NAME VERSION.
func scriptTarball(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(writeTarball(ts.MkAbs(filepath.FromSlash(args[0])), args[1], args[2], args[3]))
}
