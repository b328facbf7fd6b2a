package process

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRun_GivesOutputAndExitCode(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := Command{Path: script(t, `cat; echo " $1 $WORD"; echo oh >&2; exit 3`), Args: []string{"one two"}, Env: []string{EnvRun + "=" + t.Name(), "WORD=w", "PATH=/usr/bin:/bin"}}
	e, err := Run(t.Context(), c, strings.NewReader("in"), &out)
	if err != nil || !e.Known || e.Code != 3 || out.String() != "in one two w\noh\n" {
		t.Errorf("%v, %v, %q", e, err, &out)
	}
}

// Whatever session a program has fled to, it goes with the one that started it.
func TestRun_KillsAllWhenItTakesTooLong(t *testing.T) {
	t.Parallel()
	mark := t.Name() + t.TempDir()
	up := filepath.Join(t.TempDir(), "up")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(up); err == nil {
				return
			}
		}
	}()
	c := Command{Path: script(t, `setsid sleep 1000 & sleep 1000 & touch `+up+`; trap "" TERM; wait`), Env: []string{EnvRun + "=" + mark, "PATH=/usr/bin:/bin"}}
	var out bytes.Buffer
	if e, err := Run(ctx, c, nil, &out); !errors.Is(err, context.Canceled) || e.Known {
		t.Errorf("%v, %v", e, err)
	}
	wantNone(t, mark)
}

func TestRun_KillsWhatIsLeftBehind(t *testing.T) {
	t.Parallel()
	mark := t.Name() + t.TempDir()
	c := Command{Path: script(t, `setsid sleep 1000 & exit 0`), Env: []string{EnvRun + "=" + mark, "PATH=/usr/bin:/bin"}}
	var out bytes.Buffer
	if e, err := Run(t.Context(), c, nil, &out); err != nil || !e.Clean() {
		t.Errorf("%v, %v", e, err)
	}
	wantNone(t, mark)
}

func TestRun_RefusesAnInstancesEnvironment(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{nil, {EnvRun + "=x", EnvInstance + "=shop-abcdef"}} {
		if _, err := Run(t.Context(), Command{Path: "/bin/true", Env: env}, nil, nil); err == nil {
			t.Errorf("%v: no error", env)
		}
	}
	if _, err := Run(t.Context(), Command{Path: "/no/such", Env: []string{EnvRun + "=x"}}, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func wantNone(t *testing.T, mark string) {
	t.Helper()
	err := eachStat(func(s stat) {
		if env, err := readEnviron(s.pid); err == nil && s.alive() && env.value(EnvRun) == mark {
			t.Errorf("%s (OS pid %d) is left", s.comm, s.pid)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
