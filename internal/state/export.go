package state

import (
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// Export is everything that a store keeps.
type Export struct {
	Schema      int                           `json:"schema"`
	At          time.Time                     `json:"at"`
	Apps        []App                         `json:"apps"`
	Instances   []Instance                    `json:"instances"`
	Deployments []api.Deployment              `json:"deployments"` // the newest first
	History     map[string][]api.HistoryEntry `json:"history"`     // by app, the newest first
	Events      []api.Event                   `json:"events"`      // the oldest first
	Counters    map[string]uint64             `json:"counters"`
}

// Export reads everything.
func (s *Store) Export() (e Export, err error) {
	e = Export{Schema: Schema, At: time.Now().UTC(), History: make(map[string][]api.HistoryEntry)}
	err = s.View(func(tx *Tx) error {
		if e.Apps, err = tx.Apps(); err != nil {
			return err
		}
		if e.Instances, err = tx.Instances(""); err != nil {
			return err
		}
		if e.Deployments, err = tx.Deployments("", 0); err != nil {
			return err
		}
		if e.Events, err = tx.Events(0, MaxEvents); err != nil {
			return err
		}
		if e.Counters, err = tx.Counters(); err != nil {
			return err
		}
		return tx.tx.Bucket(bucketHistory).ForEachBucket(func(app []byte) error {
			e.History[string(app)], err = tx.History(string(app))
			return err
		})
	})
	e.Apps, e.Instances, e.Deployments, e.Events = orEmpty(e.Apps), orEmpty(e.Instances), orEmpty(e.Deployments), orEmpty(e.Events)
	return e, err
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
