package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// rpmBeside is the .rpm that was built with a .deb.
func rpmBeside(t *testing.T, deb string) string {
	t.Helper()
	rpms, err := filepath.Glob(filepath.Join(filepath.Dir(deb), "*.rpm"))
	if err != nil || len(rpms) != 1 {
		t.Fatalf("packages: %q, %v", rpms, err)
	}
	return rpms[0]
}

// rpmLife takes the .rpm through its life, as TestPackages does with the .deb: with rpm itself, a database of its own, and
// systemd 252 or what else this host has. What it depends on is known to another database here, hence --nodeps.
func rpmLife(t *testing.T, one, two string) {
	if _, err := exec.LookPath("rpm"); err != nil {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatalf("%v: run testdata/testbed/install.sh test", err)
		}
		t.Skip(err)
	}
	rpmContents(t, one)
	b := bootTestbed(t, "/")
	b.copyIn(one, "one.rpm")
	b.copyIn(two, "two.rpm")
	b.copyIn(sampletest.Build(t, "erlang", "0.1.0"), "sample-0.1.0.tar.gz")
	rpm := func(args ...string) string {
		t.Helper()
		return b.run(append([]string{"rpm", "--dbpath", "/var/lib/rpm-of-the-test", "--force-debian", "--nodeps"}, args...)...)
	}

	// Installed: nothing is started or enabled.
	if out := rpm("-i", "/srv/bk/one.rpm"); strings.Count(out, "installed and not started") != 1 {
		t.Errorf("rpm -i says %s", out)
	}
	if state, err := b.try("systemctl", "is-active", "beamkeeper"); err == nil {
		t.Errorf("installed: the daemon is %s", state)
	}
	if state, _ := b.try("systemctl", "is-enabled", "beamkeeper"); strings.TrimSpace(state) != "disabled" { // which is an error
		t.Errorf("the unit is %s", state)
	}
	if got := strings.TrimSpace(b.run("stat", "-c", "%a %U:%G", "/etc/beamkeeper/beamkeeper.yaml")); got != "640 root:beamkeeper" {
		t.Errorf("the configuration is %s", got)
	}
	if out := rpm("-V", "--nogroup", "beamkeeper"); strings.TrimSpace(out) != "" {
		t.Errorf("rpm -V: %s", out)
	}
	b.run("beamkeeper", "config", "check")
	b.run("systemd-analyze", "verify", "/usr/lib/systemd/system/beamkeeper.service")
	if kind := b.show("beamkeeper.service", "Type"); (kind == "notify-reload") != (b.version >= 254) {
		t.Errorf("Type=%s with systemd %d", kind, b.version)
	}

	b.run("sh", "-c", `printf 'applications:\n  - {name: sample, language: erlang, replicas: 1, replica_ports: [{key: PORT, base: 4000}]}\n' >>/etc/beamkeeper/beamkeeper.yaml`)
	b.run("systemctl", "enable", "--now", "beamkeeper")
	b.run("beamkeeper", "publish", "sample", "/srv/bk/sample-0.1.0.tar.gz")
	pid := b.await(1, "0.1.0").Instances[0].OSPID
	daemon := b.mainPID()

	// Upgraded: the daemon alone is another, it stays enabled, the changed configuration stays.
	if out := rpm("-U", "/srv/bk/two.rpm"); strings.Contains(out, "not started") || strings.Contains(out, "kept:") {
		t.Errorf("rpm -U says %s", out)
	}
	b.awaitAnother(daemon)
	if a := b.await(1, "0.1.0"); a.Instances[0].OSPID != pid {
		t.Errorf("upgraded: the instance has OS pid %d, had %d", a.Instances[0].OSPID, pid)
	}
	if out := b.run("beamkeeper", "version"); !strings.Contains(out, "v1.0.1-3-gabcdef0") {
		t.Errorf("version: %s", out)
	}
	if state := strings.TrimSpace(b.run("systemctl", "is-enabled", "beamkeeper")); state != "enabled" {
		t.Errorf("upgraded: the unit is %s", state)
	}
	b.run("grep", "-q", "sample", "/etc/beamkeeper/beamkeeper.yaml")
	if out := strings.TrimSpace(b.run("rpm", "--dbpath", "/var/lib/rpm-of-the-test", "-q", "beamkeeper")); !strings.HasPrefix(out, "beamkeeper-1.0.1") || strings.Contains(out, "\n") {
		t.Errorf("rpm -q: %s", out)
	}

	// Erased: the daemon goes; the instance, all data and the changed configuration stay.
	if out := rpm("-e", "beamkeeper"); !strings.Contains(out, "The applications run on") || !strings.Contains(out, "kept: /var/lib/beamkeeper") {
		t.Errorf("rpm -e says %s", out)
	}
	if state, err := b.try("systemctl", "is-active", "beamkeeper"); err == nil {
		t.Errorf("erased: the daemon is %s", state)
	}
	if out, err := b.try("kill", "-0", fmt.Sprint(pid)); err != nil {
		t.Errorf("erased: the instance (OS pid %d) does not run: %s", pid, out)
	}
	b.run("test", "-s", "/var/lib/beamkeeper/state/beamkeeper.db")
	b.run("grep", "-q", "sample", "/etc/beamkeeper/beamkeeper.yaml.rpmsave")
	for _, path := range []string{"/usr/bin/beamkeeper", "/usr/lib/systemd/system/beamkeeper.service", "/usr/lib/systemd/system/beamkeeper.service.d", "/usr/share/doc/beamkeeper", "/usr/share/beamkeeper"} {
		if out, err := b.try("ls", path); err == nil {
			t.Errorf("%s is left: %s", path, out)
		}
	}

	// Installed again: the instance is taken over.
	rpm("-i", "/srv/bk/two.rpm")
	b.run("mv", "/etc/beamkeeper/beamkeeper.yaml.rpmsave", "/etc/beamkeeper/beamkeeper.yaml")
	b.run("systemctl", "start", "beamkeeper")
	if a := b.await(1, "0.1.0"); a.Instances[0].OSPID != pid {
		t.Errorf("installed again: the instance has OS pid %d, had %d", a.Instances[0].OSPID, pid)
	}
	b.run("beamkeeper", "stop", "sample")
}

// rpmContents compares what is in the package with what is in the .deb, and looks at what it asks for.
func rpmContents(t *testing.T, path string) {
	t.Helper()
	lines := func(name string, args ...string) []string {
		t.Helper()
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%s %q: %v", name, args, err)
		}
		list := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(list)
		return list
	}
	debs, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages: %q, %v", debs, err)
	}
	var inDeb []string
	for _, line := range lines("sh", "-c", "dpkg-deb --fsys-tarfile "+debs[0]+" | tar -t") {
		if name := strings.TrimPrefix(line, "."); !strings.HasSuffix(name, "/") {
			inDeb = append(inDeb, strings.Replace(name, "/zsh/vendor-completions/", "/zsh/site-functions/", 1)) // each has its own
		}
	}
	slices.Sort(inDeb)
	inRPM := lines("rpm", "-qp", "--qf", `[%{FILEMODES:perms} %{FILENAMES}\n]`, path)
	inRPM = slices.DeleteFunc(inRPM, func(line string) bool { return strings.HasPrefix(line, "d") })
	for i, line := range inRPM {
		_, inRPM[i], _ = strings.Cut(line, " ")
	}
	if slices.Sort(inRPM); !slices.Equal(inRPM, inDeb) {
		t.Errorf("in the .rpm:\n%s\nin the .deb:\n%s", strings.Join(inRPM, "\n"), strings.Join(inDeb, "\n"))
	}
	if got := lines("rpm", "-qpc", path); !slices.Contains(got, "/etc/beamkeeper/beamkeeper.yaml") {
		t.Errorf("configuration: %q", got)
	}
	requires := lines("rpm", "-qpR", path)
	for _, want := range []string{"/bin/sh", "/usr/bin/getent", "/usr/sbin/groupadd"} { // what its scripts call
		if !slices.Contains(requires, want) {
			t.Errorf("it requires %q, want %s", requires, want)
		}
	}
	if got := lines("rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE} %{BUILDHOST}", path); got[0] != "beamkeeper 1.0.0 1 x86_64 MIT localhost" && got[0] != "beamkeeper 1.0.0 1 aarch64 MIT localhost" {
		t.Errorf("it is %q", got)
	}
	lines("rpm", "-K", "--nosignature", path)
}
