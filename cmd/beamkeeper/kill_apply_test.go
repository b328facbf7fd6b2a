package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// The daemon is killed before and after it has noted that the configuration is to be applied: the next one goes on with
// it, or it has not begun, and whoever asked was told so.
func TestKill_Apply(t *testing.T) {
	t.Parallel()
	m := newMatrix(t, 1, false)
	defer m.report()
	file := filepath.Join(m.dir, configName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(n int) operation {
		had := m.status().Instances[0].Name
		changed := strings.Replace(string(text), "value: C.UTF-8", fmt.Sprintf("value: value-%d", n), 1)
		return operation{
			name: "apply", touches: true,
			do: func(m *matrix) error {
				if err := os.WriteFile(file, []byte(changed), 0o640); err != nil {
					return err
				}
				_, err := m.client.ConfigApply(m.t.Context(), api.ConfigApplyRequest{})
				return err
			},
			done: func(a api.App) bool {
				return allOf(1, versionA)(a) && a.Instances[0].Name != had && !a.Instances[0].OldSettings
			},
		}
	}
	points := selected(m.record(func() { m.whole(apply(0)) }), false)
	points = slices.DeleteFunc(points, func(p string) bool { return !strings.Contains(p, "Apply") })
	if len(points) < 2 {
		t.Fatalf("points %q, want one before and one after the commit", points)
	}
	for n, point := range points {
		if m.cell(apply(n+1), point); t.Failed() {
			return
		}
		if env := environ(t, m.status().Instances[0].OSPID); !strings.Contains(env, fmt.Sprintf("LANG=value-%d\x00", n+1)) {
			t.Errorf("killed at %s: the instance has not the new variable", point)
		}
	}
	if m.cells != len(points) {
		t.Errorf("%d of %d steps were killed at", m.cells, len(points))
	}
}
