// Package layout guards the direction of the project's imports (docs/architecture.md); it holds only this test.
package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/beamkeeper/beamkeeper/"

// allowed lists, for each package that is a library in its own right, the packages of the project it may import.
var allowed = map[string][]string{
	"etf":                {},
	"node":               {"etf", "internal/socket"},
	"node/nodetest":      {"etf", "node"},
	"tlsdist":            {"etf", "node", "internal/socket"},
	"release":            {"etf"},
	"release/s3":         {"release"},
	"release/gcs":        {"release"},
	"internal/emulator":  {"release"},
	"release/ssh":        {"release"},
	"web":                {"internal/api"},
	"web/client":         {"internal/api", "web"},
	"actors/bridge":      {"etf", "node"},
	"actors/observer":    {"actors/bridge", "etf", "node"},
	"actors/erlapi":      {"etf", "node", "internal/api"},
	"internal/api":       {},
	"internal/config":    {"internal/render", "internal/window"},
	"internal/secrets":   {"internal/config"},
	"internal/state":     {"internal/api", "internal/applog", "internal/process"},
	"internal/process":   {"internal/sandbox"},
	"internal/launch":    {"internal/process", "internal/render", "internal/sandbox"},
	"internal/render":    {},
	"internal/window":    {},
	"internal/sandbox":   {},
	"internal/probe":     {"internal/process"},
	"internal/applog":    {},
	"internal/host":      {},
	"internal/metrics":   {"internal/api"},
	"internal/filewatch": {},
	"internal/cgroup":    {},
	"internal/systemd":   {"internal/cgroup"},
	"internal/confine":   {"internal/cgroup", "internal/process", "internal/systemd"},

	"internal/upgrade":   {"etf", "node", "release"},
	"internal/distcheck": {"etf", "node", "tlsdist"},
}

// owned lists the packages that only one part of the project may import.
var owned = map[string]string{
	"ergo.services/ergo": "actors",
	"gopkg.in/yaml.v3":   "internal/config",
	"go.etcd.io/bbolt":   "internal/state",

	"github.com/prometheus/client_golang": "internal/metrics",

	"github.com/coreos/go-systemd": "internal/systemd",
	"github.com/godbus/dbus":       "internal/systemd",
}

func TestImports_KeepTheirDirection(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		want, guarded := allowed[name]
		for _, imported := range p.Imports {
			if own, ok := strings.CutPrefix(imported, module); ok && guarded && !slices.Contains(want, own) {
				t.Errorf("%s imports %s; it may import only %q", name, own, want)
			}
			for outside, owner := range owned {
				if (imported == outside || strings.HasPrefix(imported, outside+"/")) && name != owner && !strings.HasPrefix(name, owner+"/") {
					t.Errorf("%s imports %s, which belongs to %s alone", name, imported, owner)
				}
			}
		}
		if slices.Contains([]string{"util", "common", "helpers", "misc"}, path.Base(name)) {
			t.Errorf("package %s says nothing about what it holds", name)
		}
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}
