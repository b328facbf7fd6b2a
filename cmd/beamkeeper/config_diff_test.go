package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestPrintConfigDiff(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printConfigDiff(&b, api.ConfigDiff{
		File: "/etc/beamkeeper/beamkeeper.yaml",
		Changes: []api.ConfigChange{
			{Path: "account_name", Op: "changed", Old: "prod", New: "test", Class: "daemon_restart"},
			{Path: "applications[shop].replicas", App: "shop", Op: "changed", Old: "2", New: "3", Class: "immediate"},
			{Path: "applications[shop].env[A]", App: "shop", Op: "added", New: "1\x1b[31m", Class: "rolling_restart"},
			{Path: "applications[cart]", App: "cart", Op: "removed", Class: "immediate"},
			{Path: "applications[till]", App: "till", Op: "added", Class: "immediate"},
		},
		Removals: []string{"cart", "lost"},
		Restarts: []api.ConfigRestart{{App: "shop", Instances: []string{"shop-abc123"}}},
	})
	const want = `/etc/beamkeeper/beamkeeper.yaml
at once:
  ~ applications[shop].replicas: 2 → 3
  - applications[cart]  takes --confirm-removal cart
  + applications[till]
by replacing the instances one after the other:
  + applications[shop].env[A]: 1�[31m
only with a restart of the daemon (the instances run on):
  ~ account_name: prod → test
left over from an earlier configuration:
  - applications[lost]  takes --confirm-removal lost
started with other settings than those in force:
  shop: shop-abc123
`
	if got := b.String(); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestReplaceFile_KeepsModeAndLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "link.yaml")
	if err := os.WriteFile(real, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.yaml", link); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, "new"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(real)
	info, err2 := os.Lstat(link)
	mode, err3 := os.Stat(real)
	if err != nil || err2 != nil || err3 != nil || string(b) != "new" || info.Mode().Type() != os.ModeSymlink || mode.Mode().Perm() != 0o640 {
		t.Errorf("%q, %v, %v; %v %v %v", b, info, mode, err, err2, err3)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
	if err := replaceFile(filepath.Join(dir, "none.yaml"), "new"); err == nil || !strings.Contains(err.Error(), "nothing was applied") {
		t.Errorf("a file that is not there: %v", err)
	}
}
