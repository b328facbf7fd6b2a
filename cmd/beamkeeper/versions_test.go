package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/web"
)

// serve puts f on a socket of the test's own and returns what runs the command line against it.
func (f *fakeControl) serve(t *testing.T) func(args ...string) (code int, stdout, stderr string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s.sock")
	ln, err := web.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := web.New(f, web.Options{})
	go s.Serve(ln, s.Handler()) //nolint:errcheck // its end is the test's
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(ctx)
	})
	return func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		c := newCLI(strings.NewReader(""), &stdout, &stderr, func(key string) string {
			if key == "BEAMKEEPER_SOCKET" {
				return socket
			}
			return ""
		})
		code := c.run(t.Context(), args)
		return code, stdout.String(), stderr.String()
	}
}

func TestVersions_Verbs(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	f.app.Ghosted = []string{"0.3.0", "0.4.0"}
	run := f.serve(t)
	tests := []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"ghosts sample", exitOK, "0.3.0  2026-01-02", ""},
		{"ghosts sample", exitOK, "| crash: ", ""},
		{"ghosts sample --json", exitOK, `"reason": "sample-new111 was not ready`, ""},
		{"ghosts none", exitNotFound, "", "there is no app"},
		{"ghosts sample purge", exitUsage, "", "no verb"},
		{"pin sample 0.3.0", exitRefused, "", "is a ghost"},
		{"ghosts sample clear 9.9.9", exitNotFound, "", "is no ghost"},
		{"ghosts sample clear 0.3.0", exitOK, "cleared sample 0.3.0", ""},
		{"pin sample 0.3.0 --detach", exitOK, "d0000001", "has begun"},
		{"pin sample 0.4.0 --force --detach", exitOK, "d0000002", ""},
		{"status sample", exitOK, "pinned  ghosted: 0.4.0", ""},
		{"unpin sample", exitOK, "unpinned sample", ""},
		{"rollback sample", exitOK, "0.0.9", ""},
		{"rollback sample bad", exitFailed, "", "did not get ready"},
		{"pin sample 0.1.0", exitOK, "is at 0.1.0 already", ""},
		{"freeze sample", exitOK, "froze sample", ""},
		{"unfreeze sample", exitOK, "unfroze sample", ""},
		{"freeze none", exitNotFound, "", "there is no app"},
		{"pin sample", exitUsage, "", "VERSION is missing"},
		{"ghosts sample clear", exitOK, "cleared sample 0.4.0", ""},
		{"ghosts sample", exitOK, "", "has no ghosts"},
		{"__complete ghosts sample ", exitOK, "clear", ""},
		{"__complete pin sample ", exitOK, "0.1.0", ""},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		if strings.HasSuffix(tt.args, " ") {
			args = append(args, "")
		}
		code, stdout, stderr := run(args...)
		if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: exit %d\n%s%s", tt.args, code, stdout, stderr)
		}
		if strings.Contains(stdout, "\x1b") {
			t.Errorf("%s wrote a log's escape sequence", tt.args)
		}
	}
}
