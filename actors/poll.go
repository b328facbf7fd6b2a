package actors

import (
	"context"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// Poll has app's current.json looked at now, wherever the bucket is and however it did before.
//
// Errors: *api.Error with CodeNotFound for an app that is not in the configuration.
func (s *System) Poll(_ context.Context, app string) error {
	if !s.has(app) {
		return s.unknownApp(app)
	}
	if s.watch == nil {
		return api.Errorf(api.CodeRefused, "this daemon watches no bucket")
	}
	s.watch.Check(app)
	return nil
}
