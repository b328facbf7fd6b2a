package web

import (
	"net/http"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// Right is what a caller on the control socket may do. Each includes the ones before it.
type Right int

// The rights.
const (
	RightNone   Right = iota
	RightRead         // status, nodes, history, deployments, events, differences of the configuration
	RightDeploy       // logs; to deploy, pin, roll back, freeze, start, stop, restart, scale
	RightAdmin        // rpc; to apply the configuration, to purge
)

var rightNames = [...]string{RightNone: "none", RightRead: "read", RightDeploy: "deploy", RightAdmin: "admin"}

func (r Right) String() string {
	if r >= 0 && int(r) < len(rightNames) {
		return rightNames[r]
	}
	return "?"
}

// ParseRight reads read, deploy or admin.
func ParseRight(s string) (Right, bool) {
	for r := RightRead; r <= RightAdmin; r++ {
		if rightNames[r] == s {
			return r, true
		}
	}
	return RightNone, false
}

// may makes a handler that refuses callers without a right.
func (s *Server) may(need Right, next http.Handler) http.Handler {
	if s.right == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := api.CallerFrom(r.Context())
		if has := s.right(c); has < need {
			e := api.Errorf(api.CodeDenied, "this takes the right %q, and yours is %q", need, has)
			e.Hint = "control.grant of the configuration gives it: {user: NAME, rights: " + need.String() + "} or {group: NAME, …}"
			respondError(w, e)
			return
		}
		next.ServeHTTP(w, r)
	})
}
