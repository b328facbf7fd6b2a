package actors

import (
	"context"
	"fmt"

	"github.com/beamkeeper/beamkeeper/internal/launch"
)

// Secrets gives what an app's instances get and nobody else may see.
type Secrets interface {
	// Of gives them as they are now. It may ask a store, for no longer than ctx allows. An app without any has none, and
	// no error.
	Of(ctx context.Context, app string) ([]launch.Secret, error)
}

// secretly adds the app's secrets to what package launch is told.
func (s *System) secretly(ctx context.Context, described launch.Spec) (launch.Spec, error) {
	if s.cfg.Secrets == nil {
		return described, nil
	}
	list, err := s.cfg.Secrets.Of(ctx, described.App)
	if err != nil {
		return described, fmt.Errorf("%s cannot start without its secrets: %w", described.App, err)
	}
	described.Secrets = list
	return described, nil
}
