package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// deployexTerm has a real Elixir write what DeployEx writes, with a struct of the same fields.
const deployexTerm = `
defmodule Foundation.Catalog.Version do
  defstruct [:version, :hash, :pre_commands, :name, :sname, :deployment, :inserted_at]
end
defmodule Foundation.Catalog.Config do
  defstruct [:mode, :manual_version]
end
defmodule Write do
  def version(file, v, sname, kind, at) do
    File.mkdir_p!(Path.dirname(file))
    File.write!(file, :erlang.term_to_binary(struct(Foundation.Catalog.Version, version: v, hash: "h" <> v, pre_commands: [], name: "APP", sname: sname, deployment: kind, inserted_at: at)))
  end
end
[root] = System.argv()
dir = Path.join(root, "storage/APP/deployex")
Write.version(dir <> "/history/1700000000000001.term", "0.0.1", "APP-abc123", :full_deployment, ~N[2023-11-14 22:13:20.000001])
Write.version(dir <> "/history/1700000100000000.term", "0.0.2", "APP-abc123", :hot_upgrade, ~N[2023-11-14 22:15:00])
Write.version(dir <> "/ghosted/1700000200000000.term", "0.0.3", "APP-def456", :full_deployment, nil)
File.mkdir_p!(dir <> "/config")
File.write!(dir <> "/config/config.term", :erlang.term_to_binary(struct(Foundation.Catalog.Config, mode: :manual, manual_version: struct(Foundation.Catalog.Version, version: "0.0.2"))))
`

func TestEndToEnd_InitFromDeployEx(t *testing.T) {
	t.Parallel()
	r := newRig(t, "elixir")
	dir := r.dir
	bucket := filepath.Join(dir, "bucket")
	r.must("publish", r.app, sampletest.Build(t, "elixir", "0.1.0"))
	left := filepath.Join(dir, "deployex")
	script := filepath.Join(dir, "write.exs")
	if err := os.WriteFile(script, []byte(strings.ReplaceAll(deployexTerm, "APP", r.app)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("elixir", script, left).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	old := filepath.Join(left, "service", r.app, r.app+"-abc123", "current")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(dir, "deployex.yaml")
	text := fmt.Sprintf(`account_name: local
hostname: deployex.example.com
port: 5001
release_adapter: local
release_bucket: %s
secrets_adapter: env
version: 0.9.0
var_path: %s
monitored_app_log_path: %s
applications:
  - name: %s
    language: elixir
    replicas: 1
    deploy_rollback_timeout_ms: 600_000
    replica_ports: [{key: PORT, base: %d}]
`, bucket, left, filepath.Join(dir, "applogs"), r.app, nodetest.FreePorts(t, 2))
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "ours")

	// While something runs from its folders, nothing is changed.
	sleep := exec.Command("sleep", "600")
	sleep.Dir = old
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := r.command("init", "--from-deployex", yaml, "--dir", to)
	if code != exitRefused || !strings.Contains(stderr, fmt.Sprintf("%s-abc123 (OS pid %d)", r.app, sleep.Process.Pid)) {
		t.Errorf("with a process of DeployEx: exit %d, %s", code, stderr)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("and yet something was made")
	}
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleep.Wait() // it was killed

	out := r.must("init", "--from-deployex", yaml, "--dir", to)
	for _, want := range []string{"2 history entries of 1 apps", "was in manual mode at 0.0.2", "0.0.3 was ghosted", "1 folders of its instances are in " + filepath.Join(left, leftDir)} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if _, err := os.Stat(filepath.Join(left, leftDir, r.app, r.app+"-abc123", "current")); err != nil {
		t.Errorf("the old folder is lost: %v", err)
	}
	s, err := state.Open(filepath.Join(left, "state"))
	if err != nil {
		t.Fatal(err)
	}
	_ = s.View(func(tx *state.Tx) error {
		h, err := tx.History(r.app)
		if err != nil || len(h) != 2 || h[0].Version != "0.0.2" || h[0].Kind != "hot" || h[1].Hash != "h0.0.1" || h[1].At.UnixMilli() != 1700000000000 {
			t.Errorf("history is %+v, %v", h, err)
		}
		return nil
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// The daemon takes the release of the bucket and brings it up.
	ours := filepath.Join(to, configName)
	b, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	alive, _, _ := strings.Cut(r.node, "@")
	if err := os.WriteFile(ours, bytes.Replace(b, []byte("name: beamkeeper\n"), []byte("name: "+alive+"\n"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "DEPLOYEX_ERLANG_COOKIE=c00kie", "BEAMKEEPER_CONFIG="+ours)
	r.run("--with-instances", "--config", ours)
	r.await("one instance", running(1, "0.1.0"))
	if out := r.must("history", r.app); !strings.Contains(out, "0.0.1") || !strings.Contains(out, "0.1.0") {
		t.Errorf("history:\n%s", out)
	}
}
