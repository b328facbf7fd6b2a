package actors

import (
	"slices"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// Who asked by the Erlang API is in the deployment, its events and the history; what an operator asks for afterwards is an
// operator's again.
func TestDeploy_SaysWhichNodeAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	w.running("shop", "1.0.0", 1)
	const asker = "shop/shop-4f9a2c"
	ctx := api.WithCaller(t.Context(), api.Caller{
		Via: "erlang", Node: "shop-4f9a2c@host", Target: api.Target{App: "shop", Instance: "shop-4f9a2c"},
	})
	d, err := w.sys.Deploy(ctx, api.DeployRequest{App: "shop", Version: "2.0.0"})
	if err != nil || d.By != asker || d.Trigger != "api" {
		t.Errorf("deployment is %+v, %v", d, err)
	}
	second := w.running("shop", "2.0.0", 1)[0]
	w.until("its end", func() bool { return w.app("shop").Deployment == nil })
	if err := w.sys.Restart(ctx, api.Target{App: "shop", Instance: second.Name}); err != nil {
		t.Fatal(err)
	}
	panel := api.WithCaller(t.Context(), api.Caller{Via: "erlang", Node: "panel@host"})
	if err := w.sys.Restart(panel, api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.until("another instance", func() bool {
		list := w.app("shop").Instances
		return len(list) == 1 && list[0].Name != second.Name && list[0].State == api.StateRunning && w.app("shop").Deployment == nil
	})
	if err := w.sys.Scale(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "2.0.0", 2)

	all, err := w.sys.Deployments(t.Context(), "shop", 0)
	var said []string
	for _, d := range all {
		said = append(said, d.Trigger+" "+d.By)
	}
	if want := []string{"scale ", "restart panel@host", "api " + asker, "operator "}; err != nil || !slices.Equal(said, want) {
		t.Errorf("deployments were asked for by %q, %v, want %q", said, err, want)
	}
	history, err := w.sys.History(t.Context(), "shop")
	said = nil
	for _, h := range history {
		said = append(said, h.By)
	}
	if want := []string{"scale", "panel@host", asker, "operator"}; err != nil || !slices.Equal(said, want) {
		t.Errorf("the history names %q, %v, want %q", said, err, want)
	}
	by := map[string]bool{}
	err = w.sys.Events(t.Context(), 0, false, func(e api.Event) bool {
		if name, _ := e.Data["by"].(string); name != "" {
			by[e.Type+" "+name] = true
		}
		if e.Type == api.EventDeploymentShutdown && (strings.Contains(e.Message, "operator") || !strings.Contains(e.Message, "@host") && !strings.Contains(e.Message, asker)) {
			t.Errorf("an event says %q", e.Message)
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"deployment_started " + asker, "deployment_started panel@host", "deployment_shutdown " + asker, "deployment_shutdown panel@host"} {
		if !by[want] {
			t.Errorf("no event %q in %v", want, by)
		}
	}
}
