package bridge

import (
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/node"
)

func TestTagTable_ManyReferencesDiffer(t *testing.T) {
	t.Parallel()
	tags := newTagTable("a@b", 1)
	oldest := tags.put(node.GenCall{Request: "oldest"})
	for i := range 300_000 {
		ref := tags.put(node.GenCall{Request: i})
		if i%1000 != 0 {
			if c, ok := tags.take(ref); !ok || c.Request != i {
				t.Fatalf("take of call %d = %v, %v", i, c.Request, ok)
			}
		}
	}
	if c, ok := tags.take(oldest); !ok || c.Request != "oldest" {
		t.Errorf("take of the oldest call = %v, %v", c.Request, ok)
	}
	if _, ok := tags.take(oldest); ok {
		t.Error("a call was answered twice")
	}
}

func TestTagTable_IsBounded(t *testing.T) {
	t.Parallel()
	tags := newTagTable("a@b", 1)
	tags.max = 10
	var refs []gen.Ref
	for i := range 25 {
		refs = append(refs, tags.put(node.GenCall{Request: i}))
	}
	if n := tags.len(); n != 10 {
		t.Errorf("%d calls kept, want 10", n)
	}
	for i, ref := range refs {
		c, ok := tags.take(ref)
		if want := i >= 15; ok != want || ok && c.Request != i {
			t.Errorf("take of call %d = %v, %v, want %v", i, c.Request, ok, want)
		}
	}
}

func TestTagTable_ForgetsOldCalls(t *testing.T) {
	t.Parallel()
	tags := newTagTable("a@b", 1)
	now := time.Now()
	tags.now = func() time.Time { return now }
	old := tags.put(node.GenCall{})
	older := tags.put(node.GenCall{})
	now = now.Add(tagTTL + time.Second)
	if _, ok := tags.take(old); ok {
		t.Error("an expired call was given")
	}
	fresh := tags.put(node.GenCall{})
	if n := tags.len(); n != 1 {
		t.Errorf("%d calls kept, want the fresh one only", n)
	}
	if _, ok := tags.take(older); ok {
		t.Error("an expired call was given")
	}
	if _, ok := tags.take(fresh); !ok {
		t.Error("the fresh call is gone")
	}
}

func TestTagTable_RefusesErgosReferences(t *testing.T) {
	t.Parallel()
	tags := newTagTable("a@b", 1)
	tags.put(node.GenCall{})
	if _, ok := tags.take(gen.Ref{Node: "a@b", Creation: 1, ID: [3]uint64{1, 24, 0}}); ok {
		t.Error("a reference made by Ergo was taken for an inbound call")
	}
}
