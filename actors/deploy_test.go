package actors

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestDeploy_TheFirstStartsAllReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	d := w.run("shop", "1.0.0")
	list := w.running("shop", "1.0.0", 2)
	if d.Kind != "full" || d.From != "" || d.To != "1.0.0" || d.Trigger != "operator" || len(d.Instances) != 2 {
		t.Errorf("deployment is %+v", d)
	}
	for i, inst := range list {
		if inst.Slot != i || inst.Ports["PORT"] != 21000+i || inst.OTPRelease != "27" || !alive(inst.OSPID) {
			t.Errorf("instance %d is %+v", i, inst)
		}
	}
	_ = api.StateRunning
}
