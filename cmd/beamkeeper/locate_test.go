package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An old unit file of DeployEx's first versions still works: its variables are the configuration.
func TestConfig_FromVariablesWithoutAFile(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(systemConfig); err == nil {
		t.Skipf("%s is there", systemConfig)
	}
	if testing.Short() {
		t.Skip("builds the program")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(env ...string) string {
		cmd := exec.Command(bin, "config", "show")
		cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, env...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run() // what it says is looked at
		return out.String()
	}
	variables := []string{"DEPLOYEX_MONITORED_APP_NAME=shop", "DEPLOYEX_MONITORED_REPLICAS=2", "DEPLOYEX_SECRETS_ADAPTER=env"}
	if out := run(variables...); !strings.Contains(out, "name: shop") || !strings.Contains(out, "replicas: 2") || !strings.Contains(out, "base: 4000") {
		t.Errorf("with variables:\n%s", out)
	}
	if out := run("DEPLOYEX_MONITORED_APP_NAME=shop", "DEPLOYEX_MONITORED_REPLICAS=x"); !strings.Contains(out, "DEPLOYEX_MONITORED_REPLICAS: must be a whole number") {
		t.Errorf("with a wrong one:\n%s", out)
	}
	if out := run(); !strings.Contains(out, "there is no configuration") {
		t.Errorf("without any:\n%s", out)
	}
	// A file wins, and DeployEx's variable may name it.
	file := filepath.Join(dir, "deployex.yaml")
	if err := os.WriteFile(file, []byte("applications: [{name: cart}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(append(variables, "DEPLOYEX_CONFIG_YAML_PATH="+file)...); !strings.Contains(out, "name: cart") || strings.Contains(out, "shop") {
		t.Errorf("with a file:\n%s", out)
	}
}
