package upgrade_test

import (
	"os"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// An instance with many processes is upgraded all the same, and asking it for facts stays bounded.
// BEAMKEEPER_SLOW=1: 100,000 of them.
func TestJob_ManyProcesses(t *testing.T) {
	t.Parallel()
	n := int64(10_000)
	if os.Getenv("BEAMKEEPER_SLOW") != "" {
		n = 100_000
	}
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	i.want("ok", "hot_counter", "crowd", n)
	mustCall(t, i, "hot_counter", "linger")
	j := i.job("0.1.0", "0.2.0")
	begun := time.Now()
	lap := func(what string) {
		t.Logf("%s: %v", what, time.Since(begun).Round(time.Millisecond))
		begun = time.Now()
	}
	live, err := upgrade.Facts(limited(t), i)
	if err != nil || int64(live.Processes) < n {
		t.Errorf("Facts = %+v, %v", live, err)
	}
	lap("facts")
	i.prepare(j)
	lap("prepare")
	i.install(j)
	lap("install")
	list, err := j.Lingering(limited(t))
	if err != nil || len(list) != 1 {
		t.Errorf("Lingering = %+v, %v", list, err)
	}
	lap("lingering")
	if err := j.Commit(limited(t), true); err != nil {
		t.Fatal(err)
	}
	lap("commit")
	i.want("{2,0}", "hot_counter", "state")
}
