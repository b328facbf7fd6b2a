package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// buildPackages builds the packages of a version for this machine and returns the path of the .deb.
func buildPackages(t *testing.T, version, output string) string {
	t.Helper()
	cmd := exec.Command("../../packaging/build.sh", version, output, runtime.GOARCH)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	debs, _ := filepath.Glob(filepath.Join(output, "*.deb"))
	rpms, _ := filepath.Glob(filepath.Join(output, "*.rpm"))
	if len(debs) != 1 || len(rpms) != 1 {
		t.Fatalf("packages: %q %q", debs, rpms)
	}
	return debs[0]
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// The package is installed, configured, upgraded, removed and purged on a machine with systemd, with an instance running
// from the first deployment to the purge.
func TestPackages(t *testing.T) {
	t.Parallel()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("needs root, and takes a while")
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatal(err)
		}
		t.Skip("no dpkg on this host")
	}
	one := buildPackages(t, "v1.0.0", t.TempDir())
	again := buildPackages(t, "v1.0.0", t.TempDir())
	if fileSum(t, one) != fileSum(t, again) {
		t.Error("the same commit gives another .deb")
	}
	if fileSum(t, rpmBeside(t, one)) != fileSum(t, rpmBeside(t, again)) {
		t.Error("the same commit gives another .rpm")
	}
	two := buildPackages(t, "v1.0.1-3-gabcdef0", t.TempDir())
	// A build without a tag, named by a commit that may be all digits, is before every version.
	if untagged := debField(t, buildPackages(t, "3917346", t.TempDir()), "Version"); exec.Command("dpkg", "--compare-versions", untagged, "lt", debField(t, one, "Version")).Run() != nil {
		t.Errorf("%s is not before %s", untagged, debField(t, one, "Version"))
	}
	if out, err := exec.Command("dpkg", "--compare-versions", debField(t, one, "Version"), "lt", debField(t, two, "Version")).CombinedOutput(); err != nil {
		t.Errorf("%s is not before %s: %s", debField(t, one, "Version"), debField(t, two, "Version"), out)
	}
	contents, err := exec.Command("dpkg-deb", "-c", one).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"./usr/bin/beamkeeper", "./usr/share/man/man1/beamkeeper-deploy.1.gz", "./usr/share/bash-completion/completions/beamkeeper", "./etc/beamkeeper/beamkeeper.yaml", "./usr/share/doc/beamkeeper/operations.md"} {
		if !bytes.Contains(contents, []byte(want+"\n")) {
			t.Errorf("no %s in the package", want)
		}
	}

	t.Run("rpm", func(t *testing.T) {
		t.Parallel()
		rpmLife(t, rpmBeside(t, one), rpmBeside(t, two))
	})

	b := bootTestbed(t, cleanRoot(t))
	b.copyIn(one, "one.deb")
	b.copyIn(two, "two.deb")
	b.copyIn(sampletest.Build(t, "erlang", "0.1.0"), "sample-0.1.0.tar.gz")
	inactive := func(what string) {
		t.Helper()
		if out, err := b.try("systemctl", "is-active", "beamkeeper"); err == nil {
			t.Errorf("%s: the daemon is %s", what, strings.TrimSpace(out))
		}
	}

	// Installed: nothing is started or enabled.
	if out := b.run("dpkg", "-i", "/srv/bk/one.deb"); !strings.Contains(out, "installed and not started") {
		t.Errorf("dpkg -i says %s", out)
	}
	inactive("installed")
	if out, _ := b.try("systemctl", "is-enabled", "beamkeeper"); strings.TrimSpace(out) != "disabled" {
		t.Errorf("the unit is %s", out)
	}
	b.run("beamkeeper", "config", "check")
	b.run("systemd-analyze", "verify", "/usr/lib/systemd/system/beamkeeper.service")
	if kind := b.show("beamkeeper.service", "Type"); kind != "notify-reload" { // which systemd 252 does not know
		t.Errorf("Type=%s with systemd %d", kind, b.version)
	}

	b.run("sh", "-c", `printf 'applications:\n  - {name: sample, language: erlang, replicas: 1, replica_ports: [{key: PORT, base: 4000}]}\n' >>/etc/beamkeeper/beamkeeper.yaml`)
	b.run("systemctl", "enable", "--now", "beamkeeper")
	b.run("beamkeeper", "publish", "sample", "/srv/bk/sample-0.1.0.tar.gz")
	pid := b.await(1, "0.1.0").Instances[0].OSPID
	daemon := b.mainPID()
	runs := func(what string) {
		t.Helper()
		if out, err := b.try("kill", "-0", fmt.Sprint(pid)); err != nil {
			t.Errorf("%s: the instance (OS pid %d) does not run: %s", what, pid, out)
		}
	}

	// Upgraded: the daemon alone is another, the changed configuration stays.
	b.run("dpkg", "-i", "--force-confold", "/srv/bk/two.deb")
	b.awaitAnother(daemon)
	if a := b.await(1, "0.1.0"); a.Instances[0].OSPID != pid {
		t.Errorf("upgraded: the instance has OS pid %d, had %d", a.Instances[0].OSPID, pid)
	}
	if out := b.run("beamkeeper", "version"); !strings.Contains(out, "v1.0.1-3-gabcdef0") {
		t.Errorf("version: %s", out)
	}

	// Removed: the daemon goes, the instance and all data stay.
	if out := b.run("dpkg", "-r", "beamkeeper"); !strings.Contains(out, "The applications run on") {
		t.Errorf("dpkg -r says %s", out)
	}
	inactive("removed")
	runs("removed")
	b.run("test", "-s", "/var/lib/beamkeeper/state/beamkeeper.db")
	b.run("grep", "-q", "sample", "/etc/beamkeeper/beamkeeper.yaml")

	// Installed again: the instance is taken over.
	b.run("dpkg", "-i", "/srv/bk/two.deb")
	inactive("installed again")
	b.run("systemctl", "start", "beamkeeper")
	if a := b.await(1, "0.1.0"); a.Instances[0].OSPID != pid {
		t.Errorf("installed again: the instance has OS pid %d, had %d", a.Instances[0].OSPID, pid)
	}

	// Purged: nothing is left, nothing runs.
	b.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "-P", "beamkeeper")
	b.eventually("the instance has ended", func() error {
		if _, err := b.try("kill", "-0", fmt.Sprint(pid)); err == nil {
			return fmt.Errorf("OS pid %d runs", pid)
		}
		return nil
	})
	for _, path := range []string{"/var/lib/beamkeeper", "/etc/beamkeeper", "/var/log/beamkeeper", "/usr/bin/beamkeeper", "/usr/lib/systemd/system/beamkeeper.service.d"} {
		if out, err := b.try("ls", path); err == nil {
			t.Errorf("%s is left: %s", path, out)
		}
	}
}

func debField(t *testing.T, path, field string) string {
	t.Helper()
	out, err := exec.Command("dpkg-deb", "-f", path, field).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// cleanRoot is a minimal Debian with systemd, on which nothing of ours has ever been.
func cleanRoot(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache, "beamkeeper", "systemd-trixie")
	if _, err := os.Stat(filepath.Join(root, ".complete")); err != nil {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatalf("%v: run testdata/testbed/install.sh test", err)
		}
		t.Skip(err)
	}
	return root
}
