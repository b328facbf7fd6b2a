package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/config"
)

func TestSudoers_NamesWholeCommandLines(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("test.yaml", []byte("applications:\n  - name: shop\n  - name: my-app\n    replica_ports: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, v := range sudoersVerbs {
		all = append(all, v.verb)
	}
	for _, o := range []sudoersOptions{
		{group: "deploy", verbs: all, binary: "/usr/bin/beamkeeper"},
		{user: "ci", verbs: []string{"restart"}, apps: []string{"shop"}, binary: "/usr/bin/beamkeeper"},
	} {
		var b bytes.Buffer
		if err := writeSudoers(&b, cfg, o); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if !strings.Contains(text, "/usr/bin/beamkeeper restart shop") || strings.ContainsAny(text, "*?[") {
			t.Errorf("%+v:\n%s", o, text)
		}
		if o.user != "" && strings.Contains(text, "my-app") {
			t.Errorf("an app that was not named:\n%s", text)
		}
		checkSudoers(t, text)
	}
}

// checkSudoers has visudo read a file.
func checkSudoers(t *testing.T, text string) {
	t.Helper()
	const visudo = "/usr/sbin/visudo"
	if _, err := os.Stat(visudo); err != nil {
		if os.Getenv("REQUIRE_OTP") != "" {
			t.Fatalf("no visudo: %v", err)
		}
		t.Logf("no visudo: %v", err)
		return
	}
	file := filepath.Join(t.TempDir(), "sudoers")
	if err := os.WriteFile(file, []byte(text), 0o440); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(visudo, "-cf", file).CombinedOutput(); err != nil {
		t.Errorf("visudo: %v\n%s\n%s", err, out, text)
	}
}

func TestSudoers_RefusesWhatIsNoName(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("test.yaml", []byte("applications: [{name: shop}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []sudoersOptions{
		{verbs: []string{"deploy"}, binary: "/b"},
		{group: "a", user: "b", verbs: []string{"deploy"}, binary: "/b"},
		{group: "a b", verbs: []string{"deploy"}, binary: "/b"},
		{user: "ALL=(ALL)", verbs: []string{"deploy"}, binary: "/b"},
		{user: "ci", verbs: []string{"rpc"}, binary: "/b"},
		{user: "ci", verbs: []string{"deploy"}, binary: "/a b, ALL"},
		{user: "ci", verbs: []string{"deploy"}, apps: []string{"other"}, binary: "/b"},
		{user: "ci", binary: "/b"},
	} {
		var b bytes.Buffer
		if err := writeSudoers(&b, cfg, o); err == nil {
			t.Errorf("%+v gave\n%s", o, b.String())
		}
	}
}
