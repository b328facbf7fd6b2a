package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/systemd"
)

// The IDs in docs/systemd.md are those in the journal.
func TestSystemdDoc_MessageIDs(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `([0-9a-f]{32})` \\|$").FindAllStringSubmatch(string(b), -1) {
		documented[m[1]] = m[2]
	}
	if len(documented) < 40 {
		t.Errorf("docs/systemd.md has the IDs of %d types of events", len(documented))
	}
	for event, id := range documented {
		if want := systemd.MessageID(event); id != want {
			t.Errorf("docs/systemd.md: the ID of %s is %s, not %s", event, want, id)
		}
	}
}
