package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// The scripts of CodeDeploy are run as its agent runs them: without arguments, in the order of the lifecycle, and what
// they exit with is what it goes by.
func TestEndToEnd_CodeDeploy(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.edit("replicas: 2", "replicas: 1")
	r.edit("timeout_ms: 60000", "timeout_ms: 4000")
	revision, staging := filepath.Join(r.dir, "revision"), filepath.Join(r.dir, "staging")
	r.must("generate", "codedeploy", "--output", revision, "--staging", staging, "--binary", r.bin, "--timeout", "60")
	script := func(name string) int {
		t.Helper()
		cmd := exec.Command(filepath.Join(revision, "scripts", name))
		cmd.Env = append(r.env, "BEAMKEEPER_CONFIG="+filepath.Join(r.dir, configName))
		out, err := cmd.CombinedOutput()
		t.Logf("%s: %v: %s", name, err, out)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0
	}
	stage := func(version string) {
		t.Helper()
		b, err := os.ReadFile(sampletest.Build(t, "erlang", version))
		if err == nil {
			err = os.WriteFile(filepath.Join(staging, r.app+".tar.gz"), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if code := script("before_install.sh"); code != exitUnreachable {
		t.Errorf("without a daemon before_install.sh exits with %d", code)
	}
	r.run("--with-instances")
	if code := script("before_install.sh"); code != 0 {
		t.Errorf("before_install.sh exits with %d", code)
	}
	stage("0.1.0")
	if code := script("application_start.sh"); code != 0 {
		t.Errorf("application_start.sh exits with %d", code)
	}
	pid := r.await("one instance", running(1, "0.1.0")).Instances[0].OSPID
	if code := script("validate_service.sh"); code != 0 {
		t.Errorf("validate_service.sh exits with %d", code)
	}
	stage("0.3.0-crash")
	if code := script("application_start.sh"); code != exitFailed {
		t.Errorf("with a version that crashes application_start.sh exits with %d", code)
	}
	r.await("the old instance alone", func(a api.App) bool {
		return running(1, "0.1.0")(a) && a.Instances[0].OSPID == pid
	})
}
