package actors

import (
	"reflect"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestChain(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(ms) * time.Millisecond) }
	c := newChain(at(0))
	c.pass(at(10), "")
	c.wait("no such name in epmd", "")
	if name, detail := c.missing(); name != stepNode || detail != "no such name in epmd" {
		t.Errorf("missing %q %q", name, detail)
	}
	want := []api.Step{{Name: stepProcess, State: linkPassed, AgeMS: 10}, {Name: stepNode, State: linkWaiting, AgeMS: 30, Detail: "no such name in epmd"}}
	if got := c.view(at(40)); !reflect.DeepEqual(got, want) {
		t.Errorf("view is %+v, want %+v", got, want)
	}
	c.pass(at(50), "")
	failed := c
	failed.fail(at(90), "sample is not started")
	want = append(want[:1:1],
		api.Step{Name: stepNode, State: linkPassed, AgeMS: 40},
		api.Step{Name: stepApplication, State: linkFailed, AgeMS: 40, Detail: "sample is not started"})
	if got := failed.view(at(500)); !reflect.DeepEqual(got, want) {
		t.Errorf("view is %+v, want %+v", got, want)
	}
	if failed.ready() || c.ready() {
		t.Error("ready too early")
	}
	c.pass(at(60), "")
	c.skip(at(60))
	if name, _ := c.missing(); !c.ready() || name != "" {
		t.Errorf("not ready: missing %q", name)
	}
	if got := c.view(at(1000)); len(got) != 4 || got[3].State != linkSkipped || got[2].AgeMS != 10 {
		t.Errorf("view is %+v", got)
	}
	var none chain
	if none.view(at(0)) != nil || none.ready() {
		t.Error("the zero chain has steps")
	}
}
