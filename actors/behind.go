package actors

import (
	"context"
	"fmt"
	"slices"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// Behind lists, by app, the instances that were started with other settings than those of their app's spec now.
func (s *System) Behind(context.Context) (map[string][]string, error) {
	behind := make(map[string][]string)
	err := s.cfg.State.View(func(tx *state.Tx) error {
		list, err := tx.Instances("")
		for _, rec := range list {
			if e, ok := s.roster.find(rec.App); ok && !e.leaving && !rec.Leaving && outdated(e.spec, rec) {
				behind[rec.App] = append(behind[rec.App], rec.Name)
			}
		}
		return err
	})
	return behind, asAPI(err)
}

// Instances lists, by app, the instances that there are.
func (s *System) Instances(context.Context) (map[string][]string, error) {
	names := make(map[string][]string)
	err := s.cfg.State.View(func(tx *state.Tx) error {
		list, err := tx.Instances("")
		for _, rec := range list {
			names[rec.App] = append(names[rec.App], rec.Name)
		}
		return err
	})
	return names, asAPI(err)
}

// Leftovers lists the apps that the roster does not have and whose instances still have records: a configuration without
// them was there when the daemon started. ApplyOptions.Remove is for them.
func (s *System) Leftovers(context.Context) ([]string, error) {
	var apps []string
	err := s.cfg.State.View(func(tx *state.Tx) error {
		list, err := tx.Instances("")
		for _, rec := range list {
			if !s.has(rec.App) && !slices.Contains(apps, rec.App) {
				apps = append(apps, rec.App)
			}
		}
		return err
	})
	return apps, asAPI(err)
}

// behindProblem is shown for an app with instances that lag behind its settings, unless they are being replaced.
func (s *System) behindProblem(spec AppSpec, rec state.App, instances []state.Instance) []api.Problem {
	n := 0
	for _, i := range instances {
		if outdated(spec, i) && !i.Leaving {
			n++
		}
	}
	if n == 0 || rec.Settings == spec.settings() && rec.Halted == "" && !rec.Stopped {
		return nil
	}
	e, _ := s.roster.find(spec.Name)
	what := "1 instance was started with other settings than those in force"
	if n > 1 {
		what = fmt.Sprintf("%d instances were started with other settings than those in force", n)
	}
	return []api.Problem{{Since: api.Time{Time: e.since.UTC()}, What: what,
		Remedy: "beamkeeper config apply replaces them one after the other; or they get them with their next start"}}
}
