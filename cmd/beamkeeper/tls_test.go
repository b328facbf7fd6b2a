package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

func TestEncryption_RenewsAndTells(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, err := tlsdist.OpenAuthority(dir, tlsdist.Options{Time: func() time.Time { return time.Now().Add(-tlsdist.DefaultLifetime * 3 / 4) }})
	if err != nil {
		t.Fatal(err)
	}
	name := node.Name{Alive: "shop-abc123", Host: "localhost"}
	before, err := old.Ensure(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := tlsdist.OpenAuthority(dir, tlsdist.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := &encryption{authority: a, instances: issuer{a}}
	log := slog.New(slog.DiscardHandler)
	var events []api.Event
	emit := func(ev api.Event) { events = append(events, ev) }

	e.renew(log, emit)
	e.renew(log, emit) // with nothing to do
	if len(events) != 1 || events[0].Type != api.EventCertificateRenewed || events[0].Data["node"] != name.String() {
		t.Errorf("events: %+v", events)
	}
	if got := e.instances.Expires(name); !got.After(before.NotAfter) {
		t.Errorf("expires %v, before %v", got, before.NotAfter)
	}

	// What cannot be read is told once, and is a problem until it can.
	record := filepath.Join(filepath.Dir(before.PEMFile), "node.crt")
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, []byte("x"), 0o444); err != nil {
		t.Fatal(err)
	}
	events = nil
	e.renew(log, emit)
	e.renew(log, emit)
	if len(events) != 1 || events[0].Type != api.EventCertificateProblem || events[0].Level != "error" {
		t.Errorf("events: %+v", events)
	}
	if p := e.problems(); len(p) != 1 || !strings.Contains(p[0].What, "node.crt") || p[0].Since.IsZero() {
		t.Errorf("problems: %+v", p)
	}
	if err := a.Retire(name); err != nil {
		t.Fatal(err)
	}
	e.renew(log, emit)
	if p := e.problems(); len(p) != 0 {
		t.Errorf("problems of the past: %+v", p)
	}
}

func TestPlainOutside(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{
		"127.0.0.1:0": false, "[::1]:0": false, "localhost:0": false, "none": false, "0.0.0.0:0": true, ":0": true, "10.0.0.1:9000": true, "keeper:9000": true,
	} {
		c := &config.Config{Node: config.Node{Listen: listen, TLS: config.NodeTLS{Mode: tlsOff}}}
		if got := plainOutside(c); got != want {
			t.Errorf("plainOutside(%q) = %v", listen, got)
		}
		c.Node.TLS.Mode = tlsOwnCA
		if plainOutside(c) {
			t.Errorf("plainOutside(%q) over TLS", listen)
		}
	}
}
