package state

import (
	"slices"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// Outcome fills in what a deployment says about an entry of the history that it made.
func Outcome(h *api.HistoryEntry, d api.Deployment) {
	h.Author, h.Outcome = d.Author, d.Outcome
	if !d.EndedAt.IsZero() {
		h.TookMS = max(d.EndedAt.Sub(d.StartedAt.Time).Milliseconds(), 0)
	}
}

// EndHistory notes in the versions history how a deployment has ended. It must be as d is.
func (t *Tx) EndHistory(d api.Deployment) error {
	b := t.tx.Bucket(bucketHistory).Bucket([]byte(d.App))
	if b == nil {
		return nil
	}
	ended := make(map[string]api.HistoryEntry) // by key; a cursor does not bear changes
	c := b.Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		var h api.HistoryEntry
		if err := decode(bucketHistory, k, v, &h); err != nil {
			return err
		}
		if h.At.Before(d.StartedAt.Time) {
			break
		}
		if h.Deployment == d.ID {
			Outcome(&h, d)
			ended[string(k)] = h
		}
	}
	for k, h := range ended {
		if err := put(b, []byte(k), h); err != nil {
			return err
		}
	}
	return nil
}

// TrimDeployments removes the oldest deployments of an app until keep are left, but none that something refers to.
func (t *Tx) TrimDeployments(app string, keep int) error {
	a, _, err := t.App(app)
	if err != nil {
		return err
	}
	needed := []string{a.Deployment, a.Failed, a.Halted}
	instances, err := t.Instances(app)
	if err != nil {
		return err
	}
	for _, i := range instances {
		needed = append(needed, i.Deployment)
		if i.Upgrade != nil {
			needed = append(needed, i.Upgrade.Deployment)
		}
	}
	all, err := t.Deployments(app, 0)
	if err != nil || len(all) <= keep {
		return err
	}
	for _, d := range all[keep:] {
		if slices.Contains(needed, d.ID) || d.Outcome == api.DeploymentRunning {
			continue
		}
		if err := t.tx.Bucket(bucketDeployments).Delete([]byte(d.ID)); err != nil {
			return err
		}
	}
	return nil
}
