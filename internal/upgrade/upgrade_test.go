package upgrade_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// all are the releases of OTP that a mix and a relx sample are built with.
var all = []string{"25", "27", "29"}

// each runs a test with the sample of each language and each OTP.
func each(t *testing.T, releases []string, f func(t *testing.T, otp nodetest.OTP, app string)) {
	t.Helper()
	t.Parallel()
	for _, otp := range nodetest.Want(t, releases...) {
		for _, app := range []string{sampletest.HotErlang, sampletest.HotElixir} {
			t.Run(app+" "+otp.Release, func(t *testing.T) {
				t.Parallel()
				f(t, otp, app)
			})
		}
	}
}

// counter is the module that keeps state in the sample.
func counter(app string) etf.Atom {
	if app == sampletest.HotElixir {
		return "Elixir.HotCore.Counter"
	}
	return "hot_counter"
}

// Up, down, up, committed, and the next version after that: the state is kept all the way, and what a cold start boots
// is what was committed.
func TestJob_UpDownUpAndOn(t *testing.T) {
	each(t, all, func(t *testing.T, otp nodetest.OTP, app string) {
		i := begin(t, otp, app, "0.1.0", withEnv("HOT_TENANT", "acme"), withEnv("HOT_VALUE", "first"))
		c := counter(app)
		i.eval(c, "bump")
		pid := i.eval("erlang", "whereis", c)
		j := i.job("0.1.0", "0.2.0")
		p := i.prepare(j)
		if !p.CanRevert || p.Relup != "appups" || len(p.Unresponsive)+len(p.Lingering) > 0 {
			t.Errorf("Prepare = %+v", p)
		}
		i.want("1", c, "state")
		i.install(j)
		i.want("{2,1}", c, "state")
		if app == sampletest.HotErlang { // its dependencies have appups of their own
			i.want(`{"1.1.0","1.1.0"}`, "hot_stats", "version")
			i.want(`{"1.1.0","1.1.0"}`, "hot_names", "version")
		} else {
			i.want(`{<<"0.2.0">>,<<"hello from 0.2.0">>}`, "erlang", "delete_element", int64(3), mustCall(t, i, "Elixir.HotElixir.Greeter", "greet"))
		}
		if s := i.look(j); s.Running != "0.2.0" || s.Permanent != "0.1.0" || s.Boots != "0.1.0" || s.Committed("0.2.0") {
			t.Errorf("installed: %+v", s)
		}
		i.eval(c, "bump")
		if err := j.Revert(limited(t), upgrade.Options{Every: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		i.want("2", c, "state")
		if s := i.look(j); !s.Committed("0.1.0") {
			t.Errorf("reverted: %+v", s)
		}
		i.prepare(j)
		i.install(j)
		i.want("{2,2}", c, "state")
		i.commit(j)
		if s := i.look(j); !s.Committed("0.2.0") {
			t.Errorf("committed: %+v", s)
		}
		if got := i.eval("erlang", "whereis", c); got != pid {
			t.Errorf("the counter is %s, was %s", got, pid)
		}

		next := i.job("0.2.0", "0.3.0")
		i.prepare(next)
		i.install(next)
		i.want("{3,2}", c, "state")
		i.commit(next)
		if _, err := os.Stat(filepath.Join(i.root(), "releases", "0.1.0")); err == nil {
			t.Error("the first version is still there")
		}

		i.kill()
		i.start()
		i.want("{3,0}", c, "state")
		if s := i.look(next); !s.Committed("0.3.0") {
			t.Errorf("after a cold start: %+v", s)
		}
	})
}

// A crash before the commit boots the old version.
func TestJob_CrashDuringSoakBootsTheOldVersion(t *testing.T) {
	each(t, all, func(t *testing.T, otp nodetest.OTP, app string) {
		i := begin(t, otp, app, "0.1.0")
		j := i.job("0.1.0", "0.2.0")
		before := tree(t, i.root())
		i.prepare(j)
		i.install(j)
		i.want("{2,0}", counter(app), "state")
		i.kill()
		i.start()
		i.want("0", counter(app), "state")
		if s := i.look(j); !s.Committed("0.1.0") {
			t.Errorf("%+v", s)
		}
		if err := j.Clean(limited(t)); err != nil {
			t.Fatal(err)
		}
		if after := tree(t, i.root()); !slices.Equal(before, after) {
			t.Errorf("Clean left\n%q\nof\n%q", after, before)
		}
		i.prepare(j) // and it can be tried again
		i.install(j)
		i.want("{2,0}", counter(app), "state")
	})
}

// kinds says of what kinds an error is.
func kinds(err error) string {
	var names []string
	for name, kind := range map[string]error{
		"transient": upgrade.ErrTransient, "not possible": upgrade.ErrNotPossible, "broken": upgrade.ErrBroken, "restarted": upgrade.ErrRestarted,
		"ceiling": upgrade.ErrCeiling, "lingering": upgrade.ErrLingering, "no way back": upgrade.ErrNoWayBack,
	} {
		if errors.Is(err, kind) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
