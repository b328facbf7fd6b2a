package launch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// The node is called what the plan says: with the machine's own short name, with long names, and as another OS user.
// (The erlang sample's vm.args has -sname, as DeployEx asks for: short names only.)
func TestBuild_RealNames(t *testing.T) {
	t.Parallel()
	otp := nodetest.WantAny(t)
	tests := []struct {
		name     string
		language Language
		host     string
		user     string
	}{
		{"elixir short", Elixir, "", ""},
		{"erlang short", Erlang, "", ""},
		{"gleam short", Gleam, "", ""},
		{"elixir long", Elixir, "127.0.0.1", ""},
		{"gleam long", Gleam, "127.0.0.1", ""},
		{"gleam other user", Gleam, "localhost", "nobody"},
		{"elixir other user", Elixir, "localhost", "nobody"},
		{"erlang other user", Erlang, "localhost", "nobody"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.user != "" {
				if _, err := process.LookupAccount(tt.user); err != nil || os.Geteuid() != 0 {
					t.Skipf("needs root and an OS user %s (%v)", tt.user, err)
				}
			}
			dir := t.TempDir()
			if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the test's, which others may not pass
				t.Fatal(err)
			}
			root := filepath.Join(dir, "service", "current")
			if err := os.MkdirAll(root, 0o755); err != nil {
				t.Fatal(err)
			}
			tarball := sampletest.BuildWith(t, otp.Bin, string(tt.language), "0.1.0")
			if out, err := exec.Command("tar", "-xzf", tarball, "-C", root).CombinedOutput(); err != nil {
				t.Fatalf("tar: %v\n%s", err, out)
			}
			if tt.user != "" { // as the release store does
				if out, err := exec.Command("chown", "-R", tt.user, root).CombinedOutput(); err != nil {
					t.Fatalf("chown: %v\n%s", err, out)
				}
			}
			app := sampletest.AppName(string(tt.language))
			s := Spec{
				App: app, Instance: app + "-" + strings.ReplaceAll(tt.name, " ", "") + strconv.Itoa(os.Getpid()),
				Language: tt.language, Root: root, Host: tt.host, Cookie: "c00kie", Daemon: fmt.Sprintf("beamkeeper@namestest%d", os.Getpid()), User: tt.user,
				BaseEnv: otp.Env("ERL_EPMD_PORT="+strconv.Itoa(nodetest.StartEPMD(t)), "ERL_EPMD_ADDRESS=127.0.0.1"),
			}
			p := mustBuild(t, s)
			if err := p.Prepare(); err != nil {
				t.Fatal(err)
			}
			log := filepath.Join(dir, "log", "out.log")
			started, err := process.Start(p.Command(log, log))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				if err := process.KillAll(ctx, started.Identity()); err != nil {
					t.Error(err)
				}
			}()
			want := fmt.Sprintf("%s 0.1.0 starting on %s\n", app, p.Node)
			for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				b, err := os.ReadFile(log)
				if err == nil && strings.Contains(string(b), want) {
					break
				}
				if e, ended := started.Exit(); ended || time.Now().After(end) {
					t.Fatalf("%v %v: log is\n%s\nwant %q", e, err, b, want)
				}
			}
		})
	}
}
