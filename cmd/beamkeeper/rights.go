package main

import (
	"os"
	"slices"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/web"
)

// rightOf is what a caller on the control socket may do. Root and the daemon's own user may do everything; without grants
// so may everybody whom the socket's mode lets connect.
func rightOf(grants []config.ControlGrant, c api.Caller) web.Right {
	if len(grants) == 0 || c.UID == 0 || c.UID == os.Geteuid() {
		return web.RightAdmin
	}
	best := web.RightNone
	for _, g := range grants {
		r, ok := web.ParseRight(g.Rights)
		if ok && r > best && granted(g, c) {
			best = r
		}
	}
	return best
}

// granted says whether a grant is for a caller. A name that the host does not know is nobody's.
func granted(g config.ControlGrant, c api.Caller) bool {
	if c.UID < 0 {
		return false
	}
	if g.User != "" {
		a, err := process.LookupAccount(g.User)
		return err == nil && int(a.UID) == c.UID
	}
	gid, err := process.LookupGroup(g.Group)
	return err == nil && (int(gid) == c.GID || slices.Contains(c.Groups, int(gid)))
}
