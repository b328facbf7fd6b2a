package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestTx_TrimDeploymentsLeavesWhatIsReferredTo(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	update(t, s, func(tx *Tx) error {
		for i := range 20 {
			id, err := tx.NextDeployment()
			if err != nil {
				return err
			}
			d := api.Deployment{ID: id, App: []string{"shop", "blog"}[i%2], Outcome: api.DeploymentSucceeded}
			if i == 4 {
				d.Outcome = api.DeploymentRunning
			}
			if err := tx.PutDeployment(d); err != nil {
				return err
			}
		}
		if err := tx.PutApp(App{Name: "shop", Failed: "d0000003"}); err != nil {
			return err
		}
		if err := tx.PutInstance(Instance{Name: "shop-abc123", App: "shop", Deployment: "d0000007", Upgrade: &Upgrade{Deployment: "d0000009"}}); err != nil {
			return err
		}
		return tx.TrimDeployments("shop", 3)
	})
	s.View(func(tx *Tx) error {
		left := ""
		list, err := tx.Deployments("shop", 0)
		for _, d := range list {
			left += d.ID[6:] + " "
		}
		if err != nil || left != "19 17 15 09 07 05 03 " {
			t.Errorf("left: %s, %v", left, err)
		}
		if others, _ := tx.Deployments("blog", 0); len(others) != 10 {
			t.Errorf("%d of another app are left", len(others))
		}
		return nil
	})
}

func TestTx_EndHistory(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(n int) api.Time { return api.Time{Time: began.Add(time.Duration(n) * time.Second)} }
	update(t, s, func(tx *Tx) error {
		if err := tx.EndHistory(api.Deployment{ID: "d1", App: "shop"}); err != nil { // there is no history yet
			return err
		}
		for i, id := range []string{"d1", "d1", "d2", "d2", "d3", "d2"} {
			if err := tx.AddHistory("shop", api.HistoryEntry{At: at(i), Deployment: id, Instance: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return tx.EndHistory(api.Deployment{ID: "d2", App: "shop", Author: "alice", Outcome: api.DeploymentFailed, StartedAt: at(1), EndedAt: at(9)})
	})
	s.View(func(tx *Tx) error {
		list, err := tx.History("shop")
		for _, h := range list {
			want := api.HistoryEntry{At: h.At, Deployment: h.Deployment, Instance: h.Instance}
			if h.Deployment == "d2" {
				want.Author, want.Outcome, want.TookMS = "alice", "failed", 8000
			}
			if h != want {
				t.Errorf("%+v, want %+v", h, want)
			}
		}
		if err != nil || len(list) != 6 {
			t.Errorf("%d entries, %v", len(list), err)
		}
		return nil
	})
}
