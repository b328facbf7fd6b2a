package actors

import (
	"errors"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

// A version that needs pre-commands is refused, by current.json and by deploy, and the running one stays.
func TestPreCommands_AreRefusedAndNotSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.cfg.Source.Bucket = w.bucket
	w.up()
	w.publish("shop", "1.0.0")
	w.running("shop", "1.0.0", 1)

	cur := release.Current{Version: "2.0.0", PreCommands: []string{"eval Shop.migrate"}}
	b := cur.Encode()
	if err := w.bucket.Put(t.Context(), release.CurrentKey("shop", ""), strings.NewReader(string(b)), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	w.until("the event", func() bool {
		e := w.eventsOf(api.EventReleaseBroken)
		return len(e) == 1 && strings.Contains(e[0].Message, "version 2.0.0 has pre_commands")
	})
	if p := w.app("shop").Problems; len(p) != 1 || !strings.Contains(p[0].What, "pre_commands") || !strings.Contains(p[0].Remedy, "take pre_commands out") {
		t.Errorf("problems are %+v", p)
	}
	for _, version := range []string{"", "2.0.0"} {
		_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: version})
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeRefused || !strings.Contains(err.Error(), "pre_commands") {
			t.Errorf("Deploy of %q: %v", version, err)
		}
	}
	w.running("shop", "1.0.0", 1)
	if d := w.app("shop").DesiredVersion; d != "1.0.0" {
		t.Errorf("desired is %s", d)
	}

	w.publish("shop", "2.0.0")
	w.running("shop", "2.0.0", 1)
	if e := w.eventsOf(api.EventReleaseMended); len(e) != 1 || len(w.app("shop").Problems) != 0 {
		t.Errorf("events are %+v, problems %+v", e, w.app("shop").Problems)
	}
}
