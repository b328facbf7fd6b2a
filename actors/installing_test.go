package actors

import (
	"errors"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
)

func TestInstalling_IsShownWhileItGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hotApp(1, 0))
	f := withForge(w)
	w.up()
	w.run("shop", "1")
	hold := make(chan struct{})
	f.set(func() { f.block["install"] = hold })
	id := w.deploy("shop", "hot-2").ID
	const want = "12s: code_change, 3 processes suspended, waits for <0.7.0> (cart)"
	detail := func() string {
		d, err := w.sys.Deployment(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range d.Instances {
			for _, st := range i.Steps {
				if st.Name == stepInstall {
					return st.Detail
				}
			}
		}
		return ""
	}
	w.until("the progress of the installation", func() bool { return detail() == want })
	close(hold)
	w.ended(id, api.DeploymentSucceeded)
	if got := detail(); got == want {
		t.Errorf("at the end still %q", got)
	}
}

func TestProgressText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p    upgrade.Progress
		want string
	}{
		{upgrade.Progress{For: 1400 * time.Millisecond}, "1s: under way"},
		{upgrade.Progress{Doing: "load", Link: errors.New("cut")}, "0s: load, not connected at the moment: cut"},
		{upgrade.Progress{Waiting: &upgrade.Process{Pid: "<0.1.0>"}}, "0s: waits for <0.1.0>"},
	} {
		if got := progressText(tt.p); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
