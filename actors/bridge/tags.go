package bridge

import (
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// Bounds of tagTable.
const (
	maxTags = 1 << 16
	tagTTL  = time.Hour
)

// tagTable keeps the tags of inbound calls that are not answered yet, under references that Ergo can carry. The
// references are counted by the table: Ergo's own repeat after 262,144.
//
// An actor may answer late or never, and an Erlang caller may wait for ever or be gone. So an entry lives at most
// tagTTL, and when there are maxTags the oldest is dropped.
type tagTable struct {
	self     gen.Atom
	creation int64
	now      func() time.Time
	max      int

	mu    sync.Mutex
	last  uint64
	first uint64 // no entry has a lower number
	tags  map[uint64]tagEntry
}

type tagEntry struct {
	call    node.GenCall
	expires time.Time
}

// tagMark is in the second word of the table's references. Ergo's have a few low bits there.
const tagMark = 1 << 63

func newTagTable(self gen.Atom, creation int64) *tagTable {
	return &tagTable{
		self: self, creation: creation, now: time.Now, max: maxTags,
		first: 1, tags: make(map[uint64]tagEntry),
	}
}

// put keeps the tag of a call and gives the reference to hand to Ergo. The reference has no deadline.
func (t *tagTable) put(c node.GenCall) gen.Ref {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.tags[t.last] = tagEntry{call: c, expires: now.Add(tagTTL)}
	// Entries are numbered in order of time, so the old ones are the low ones. Each number is passed once.
	for ; t.first < t.last; t.first++ {
		e, ok := t.tags[t.first]
		if !ok {
			continue
		}
		if len(t.tags) <= t.max && now.Before(e.expires) {
			break
		}
		delete(t.tags, t.first)
	}
	return gen.Ref{Node: t.self, Creation: t.creation, ID: [3]uint64{t.last, tagMark, 0}}
}

// take gives and forgets the call of a reference.
func (t *tagTable) take(ref gen.Ref) (node.GenCall, bool) {
	if ref.ID[1] != tagMark || ref.Node != t.self {
		return node.GenCall{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.tags[ref.ID[0]]
	delete(t.tags, ref.ID[0])
	if !ok || t.now().After(e.expires) {
		return node.GenCall{}, false
	}
	return e.call, true
}

func (t *tagTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.tags)
}

// keptTag gives a tag that keeps no other memory alive. Callers make references, [alias|Reference], and C nodes small
// terms; a tag that could be large is none.
func keptTag(tag etf.Term) (etf.Term, bool) {
	switch t := tag.(type) {
	case etf.Ref:
		return t, true
	case etf.Atom:
		return t, true
	case int64:
		return t, true
	case etf.ImproperList:
		ref, ok := t.Tail.(etf.Ref)
		if ok && len(t.Elems) == 1 && t.Elems[0] == etf.Term(etf.Atom("alias")) {
			return etf.ImproperList{Elems: []etf.Term{etf.Atom("alias")}, Tail: ref}, true
		}
	case etf.Pid:
		return t, true
	}
	return nil, false
}
