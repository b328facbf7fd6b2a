package state

import (
	"slices"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// What is kept at most for an app.
const (
	maxGhosts = 20
	maxGood   = 20
)

// Versions is what an app has learnt about its versions, and what operators said about them.
type Versions struct {
	Ghosts []api.Ghost `json:"ghosts,omitempty"` // the newest first
	Good   []Good      `json:"good,omitempty"`   // those that were brought, the newest first; the first is Settled
	Pinned bool        `json:"pinned,omitempty"` // current.json is not followed
	Frozen bool        `json:"frozen,omitempty"` // no other version is deployed
	Held   string      `json:"held,omitempty"`   // digest of the current.json that was told not to be followed
	Waits  string      `json:"waits,omitempty"`  // digest of the current.json that was told to wait for a deploy window
}

// Good is a release that a deployment brought to all replicas.
type Good struct {
	Release
	At         time.Time `json:"at"`
	Deployment string    `json:"deployment"`
}

// Is says whether two releases are one. An empty sha256 stands for any, as far as the hashes agree.
func (r Release) Is(o Release) bool {
	switch {
	case r.Version != o.Version:
		return false
	case r.SHA256 != "" && o.SHA256 != "":
		return r.SHA256 == o.SHA256
	}
	return r.Hash == "" || o.Hash == "" || r.Hash == o.Hash
}

func ghostly(g api.Ghost) Release { return Release{Version: g.Version, Hash: g.Hash, SHA256: g.SHA256} }

// Ghost finds the ghost that a release is.
func (v Versions) Ghost(r Release) (api.Ghost, bool) {
	i := slices.IndexFunc(v.Ghosts, func(g api.Ghost) bool { return ghostly(g).Is(r) })
	if i < 0 {
		return api.Ghost{}, false
	}
	return v.Ghosts[i], true
}

// Haunt makes a release a ghost.
func (v *Versions) Haunt(g api.Ghost) {
	v.Ghosts = slices.DeleteFunc(slices.Clone(v.Ghosts), func(o api.Ghost) bool { return o.Version == g.Version && o.SHA256 == g.SHA256 })
	v.Ghosts = slices.Insert(v.Ghosts, 0, g)
	v.Ghosts = v.Ghosts[:min(len(v.Ghosts), maxGhosts)]
}

// Clear takes the ghosts of a version, or of all with an empty one, off the list and returns them.
func (v *Versions) Clear(version string) (gone []api.Ghost) {
	var left []api.Ghost
	for _, g := range v.Ghosts {
		if version == "" || g.Version == version {
			gone = append(gone, g)
		} else {
			left = append(left, g)
		}
	}
	v.Ghosts = left
	return gone
}

// Brought notes that a release was brought to all replicas. Back says that it was gone back to: those that came after it
// are good no more. Its version has no ghosts any more: their archives were replaced.
func (v *Versions) Brought(g Good, back bool) {
	g.PreCommands = nil // they were run
	if len(v.Good) > 0 && v.Good[0].Is(g.Release) {
		return
	}
	v.Clear(g.Version)
	if i := slices.IndexFunc(v.Good, func(o Good) bool { return o.Is(g.Release) }); i >= 0 {
		if back {
			v.Good = slices.Clone(v.Good[i+1:])
		} else {
			v.Good = slices.Delete(slices.Clone(v.Good), i, i+1)
		}
	}
	v.Good = slices.Insert(v.Good, 0, g)
	v.Good = v.Good[:min(len(v.Good), maxGood)]
}

// LastGood is the newest good release that is neither the one given nor a ghost.
func (v Versions) LastGood(but Release) (Good, bool) {
	for _, g := range v.Good {
		if _, ghost := v.Ghost(g.Release); !ghost && !g.Is(but) {
			return g, true
		}
	}
	return Good{}, false
}
