package main

import (
	"os"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/web"
)

func TestRightOf(t *testing.T) {
	t.Parallel()
	grants := []config.ControlGrant{
		{User: "12345", Rights: "read"}, {Group: "daemon", Rights: "deploy"}, {User: "no-such-user", Rights: "admin"}, {Group: "0", Rights: "admin"},
	}
	const daemon = 1 // the group, on every Linux
	for name, tc := range map[string]struct {
		grants []config.ControlGrant
		caller api.Caller
		want   web.Right
	}{
		"no grants":           {nil, api.Caller{UID: 7}, web.RightAdmin},
		"root":                {grants, api.Caller{UID: 0}, web.RightAdmin},
		"the daemon's user":   {grants, api.Caller{UID: os.Geteuid()}, web.RightAdmin},
		"nobody's":            {grants, api.Caller{UID: 7, GID: 7}, web.RightNone},
		"a group":             {grants, api.Caller{UID: 7, GID: daemon}, web.RightDeploy},
		"a further group":     {grants, api.Caller{UID: 7, GID: 7, Groups: []int{9, daemon}}, web.RightDeploy},
		"the highest of many": {grants, api.Caller{UID: 7, GID: daemon, Groups: []int{0}}, web.RightAdmin},
		"not known who it is": {grants, api.Caller{UID: -1, GID: -1}, web.RightNone},
	} {
		if got := rightOf(tc.grants, tc.caller); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestSocketMode(t *testing.T) {
	t.Parallel()
	grant := []config.ControlGrant{{User: "ci", Rights: "read"}}
	for name, tc := range map[string]struct {
		control config.Control
		want    os.FileMode
	}{
		"default": {config.Control{}, 0o660}, "with grants": {config.Control{Grant: grant}, 0o666},
		"given": {config.Control{Mode: "0600", Grant: grant}, 0o600}, "three digits": {config.Control{Mode: "640"}, 0o640},
	} {
		if got := socketMode(tc.control); got != tc.want {
			t.Errorf("%s: %o, want %o", name, got, tc.want)
		}
	}
}
