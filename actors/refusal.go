package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// stepCheck is the step of a deployment that looks whether its release can run here.
const stepCheck = "check"

// Archives says what is in releases that were fetched. *release.Store satisfies it.
type Archives interface {
	// Find returns a release that is on this host, the last one of the version with an empty sha256.
	Find(app, version, sha256 string) (release.Release, error)
	Contents(ctx context.Context, rel release.Release) (release.Contents, error)
}

// refusedError tells that a release can not run here.
type refusedError struct{ reasons []release.Reason }

func (e *refusedError) Error() string {
	var list []string
	for i, r := range e.reasons {
		text := r.What
		if r.Remedy != "" {
			text += " (" + r.Remedy + ")"
		}
		if len(e.reasons) > 1 {
			text = fmt.Sprintf("%d. %s", i+1, text)
		}
		list = append(list, text)
	}
	return "it is refused: " + strings.Join(list, "; ")
}

// host is what the machine offers.
func (s *System) host() release.Host {
	if s.cfg.Host != nil {
		return s.cfg.Host()
	}
	return release.ThisHost()
}

// mayRun says why a release that was fetched can not run here: a *refusedError. That what is in it cannot be looked at is no
// reason.
func (s *System) mayRun(ctx context.Context, rel release.Release) error {
	if s.cfg.Archives == nil {
		return nil
	}
	c, err := s.cfg.Archives.Contents(ctx, rel)
	if err != nil {
		s.log.Warn("what is in a release", "app", rel.App, "version", rel.Version, "err", err)
		return nil
	}
	if v := release.Judge(nil, c, s.host()); v.Verdict == release.Refused {
		return &refusedError{v.Reasons}
	}
	return nil
}

// ranBefore says whether a release was brought before: it can run, whatever its files look like.
func ranBefore(a state.App, rel state.Release) bool {
	return slices.ContainsFunc(a.Good, func(g state.Good) bool { return g.Is(rel) })
}

// refused says whether an error of bringing a release here is a refusal.
func refused(err error) bool {
	var r *refusedError
	return errors.As(err, &r) || release.Unusable(err)
}

// sayRefused tells why a release is refused.
func sayRefused(d api.Deployment, why error, say func(api.Event)) {
	e := api.Event{
		Type: api.EventReleaseRefused, Level: "error", App: d.App, Version: d.To, Deployment: d.ID,
		Message: fmt.Sprintf("version %s of %s is refused, and nothing was changed: %s", d.To, d.App, strings.TrimPrefix(why.Error(), "it is refused: ")),
	}
	var r *refusedError
	if errors.As(why, &r) {
		var list []string
		for _, reason := range r.reasons {
			list = append(list, reason.What)
		}
		e.Data = map[string]any{"reasons": list}
	}
	say(e)
}
