package main

import (
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// parseTarget reads APP or APP/INSTANCE, where INSTANCE may be the last six characters of its name alone.
func parseTarget(s string) (api.Target, error) {
	app, instance, found := strings.Cut(s, "/")
	bad := &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q is neither APP nor APP/INSTANCE", s)}
	if app == "" || found && (instance == "" || strings.Contains(instance, "/")) {
		return api.Target{}, bad
	}
	if found && len(instance) == suffixLen {
		instance = app + "-" + instance
	}
	return api.Target{App: app, Instance: instance}, nil
}

// suffixLen is the length of what follows APP- in the name of an instance.
const suffixLen = 6
