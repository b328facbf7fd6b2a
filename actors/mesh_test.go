package actors

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

func TestUnconnected(t *testing.T) {
	t.Parallel()
	type views = map[string][]string
	tests := []struct {
		name string
		sees views
		want []pair
	}{
		{"nobody", views{}, nil},
		{"one alone", views{"a": {}}, nil},
		{"two apart: one of them is asked", views{"a": {}, "b": {}}, []pair{{"a", "b"}}},
		{"two together", views{"a": {"b"}, "b": {"a"}}, nil},
		{"the one that does not see the other is asked", views{"a": {"b"}, "b": {}}, []pair{{"b", "a"}}},
		{"three apart: each pair once", views{"a": {}, "b": {}, "c": {}}, []pair{{"a", "b"}, {"a", "c"}, {"b", "c"}}},
		{"a third comes", views{"a": {"b"}, "b": {"a"}, "c": {}}, []pair{{"a", "c"}, {"b", "c"}}},
		{"two lost each other", views{"a": {"b", "c"}, "b": {"a"}, "c": {"a"}}, []pair{{"b", "c"}}},
		{"who did not answer is left alone", views{"a": {"x"}, "b": {"x"}}, []pair{{"a", "b"}}},
	}
	for _, tt := range tests {
		if got := unconnected(tt.sees, nil); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	type views = map[string][]string
	tests := []struct {
		name  string
		ready []string
		sees  views
		want  bool
	}{
		{"nobody", nil, views{}, true},
		{"one alone", []string{"a"}, views{"a": {}}, true},
		{"both see each other", []string{"a", "b"}, views{"a": {"b"}, "b": {"a"}}, true},
		{"one does not answer", []string{"a", "b"}, views{"a": {"b"}}, false},
		{"one sees nobody", []string{"a", "b"}, views{"a": {"b"}, "b": {}}, false},
		{"one still sees one that is gone", []string{"a", "b"}, views{"a": {"b", "o"}, "b": {"a"}}, false},
		{"one sees one that is gone, and not its sibling", []string{"a", "b"}, views{"a": {"o"}, "b": {"a"}}, false},
	}
	for _, tt := range tests {
		if got := settled(tt.ready, tt.sees, unconnected(tt.sees, nil)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A pair is asked at growing intervals, whichever of the two is asked, and at once again after it has been connected.
func TestDue(t *testing.T) {
	t.Parallel()
	asked := make(map[pair]asking)
	ab, ba, cd := pair{"a", "b"}, pair{"b", "a"}, pair{"c", "d"}
	now := time.Now()
	if got := due(asked, []pair{ab, cd}, now); !slices.Equal(got, []pair{ab, cd}) {
		t.Errorf("at first: %v", got)
	}
	for n, wait := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000, 10000, 10000} {
		wait *= time.Millisecond
		if got := due(asked, []pair{ba}, now.Add(wait-1)); len(got) != 0 {
			t.Errorf("ask %d: %v after less than %v", n+2, got, wait)
		}
		now = now.Add(wait)
		if got := due(asked, []pair{ba}, now); !slices.Equal(got, []pair{ba}) {
			t.Errorf("ask %d: %v after %v", n+2, got, wait)
		}
	}
	if _, kept := asked[cd]; kept {
		t.Error("a pair that is connected is remembered")
	}
	due(asked, nil, now)
	if got := due(asked, []pair{ab}, now); !slices.Equal(got, []pair{ab}) {
		t.Errorf("after it was connected: %v", got)
	}
}

func TestSiblingsIn(t *testing.T) {
	t.Parallel()
	nodes := etf.List{etf.Atom("shop-bbbbbb@h"), etf.Atom("shop-aaaaaa@h"), etf.Atom("shop-cccccc@other"), etf.Atom("shopping-aaaaaa@h"), etf.Atom("shop@h"), etf.Atom("remsh"), int64(7)}
	if got := siblingsIn(nodes, []string{"shop"}, "h"); !slices.Equal(got, []string{"shop-aaaaaa", "shop-bbbbbb"}) {
		t.Errorf("siblings %v", got)
	}
	if got := siblingsIn(etf.List{}, []string{"shop"}, "h"); got == nil || len(got) != 0 {
		t.Errorf("of an empty list %#v, want one that is empty and not nil", got)
	}
	if got := siblingsIn(etf.Tuple{etf.Atom("badrpc")}, []string{"shop"}, "h"); !reflect.DeepEqual(got, []string(nil)) {
		t.Errorf("of no list %#v", got)
	}
}
