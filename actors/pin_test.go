package actors

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestPin(t *testing.T) {
	t.Parallel()
	w := watched(t, app("shop", 2))
	w.publish("shop", "1.0.0")
	w.up()
	w.running("shop", "1.0.0", 2)
	w.publish("shop", "2.0.0")
	w.running("shop", "2.0.0", 2)
	w.lastEnded("shop", "2.0.0")
	d, err := w.sys.Pin(t.Context(), "shop", api.VersionRequest{Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	w.ended(d.ID, api.DeploymentSucceeded)
	w.down(false)
	w.up()
	w.publish("shop", "3.0.0")
	w.until("the word about 3.0.0", func() bool { return len(w.eventsOf(api.EventVersionSkipped)) == 1 })
	w.running("shop", "1.0.0", 2)
	if a := w.app("shop"); a.Mode != "pinned" || a.DesiredVersion != "1.0.0" {
		t.Errorf("app is %+v", a)
	}
	_, err = w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0"})
	wantCode(t, err, api.CodeRefused)
	if err := w.sys.Unpin(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "3.0.0", 2)
	if a := w.app("shop"); a.Mode != "automatic" {
		t.Errorf("app is %+v", a)
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	w := watched(t, app("shop", 1))
	w.publish("shop", "1.0.0")
	w.up()
	w.running("shop", "1.0.0", 1)
	w.lastEnded("shop", "1.0.0")
	if err := w.sys.Freeze(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	w.down(false)
	w.up()
	w.publish("shop", "2.0.0")
	w.until("the word about 2.0.0", func() bool { return len(w.eventsOf(api.EventVersionSkipped)) == 1 })
	_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0"})
	wantCode(t, err, api.CodeRefused)
	// What runs is kept running, and scaled.
	w.killInstance(w.running("shop", "1.0.0", 1)[0])
	if err := w.sys.Scale(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "1.0.0", 2)
	if a := w.app("shop"); a.Mode != "frozen" {
		t.Errorf("app is %+v", a)
	}
	if err := w.sys.Unfreeze(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "2.0.0", 2)
}
