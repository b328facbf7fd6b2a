package erlapi

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestTermOf(t *testing.T) {
	t.Parallel()
	at := api.Time{Time: time.Date(2026, 1, 2, 4, 4, 5, 6_999_999, time.FixedZone("", 3600))}
	for _, c := range []struct {
		in   any
		want etf.Term
	}{
		{"", etf.Binary("")},
		{api.StateRunning, etf.Binary("running")},
		{true, etf.Atom("true")},
		{-3, int64(-3)},
		{uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{1.5, 1.5},
		{math.Inf(1), atomUndefined},
		{at, etf.Binary("2026-01-02T03:04:05.006Z")},
		{api.Time{}, atomUndefined},
		{(*api.Deployment)(nil), atomUndefined},
		{[]string(nil), etf.List{}},
		{[]string{"a", "b"}, etf.List{etf.Binary("a"), etf.Binary("b")}},
		{map[string]int{"ok": 1}, etf.Map{{Key: etf.Binary("ok"), Value: int64(1)}}},
		{map[string]any{"x": nil}, etf.Map{{Key: etf.Binary("x"), Value: atomUndefined}}},
		{[]any{1.0, -0.5, float64(1 << 60), math.NaN(), "s", false, 7, []any{}, time.Second}, etf.List{
			int64(1), -0.5, float64(1 << 60), atomUndefined, etf.Binary("s"), etf.Atom("false"), int64(7), etf.List{}, int64(time.Second),
		}},
		{struct {
			api.Target
			Hidden int `json:"-"`
			None   int
			List   []api.Problem `json:"list,omitempty"`
		}{Target: api.Target{App: "shop"}}, etf.Map{
			{Key: etf.Atom("app"), Value: etf.Binary("shop")}, {Key: etf.Atom("instance"), Value: etf.Binary("")}, {Key: etf.Atom("list"), Value: etf.List{}},
		}},
		{complex(1, 2), etf.Binary("(1+2i)")},
	} {
		got := termOf(c.in)
		if !etf.Equal(got, c.want) {
			t.Errorf("termOf(%#v) = %s, want %s", c.in, etf.Format(got), etf.Format(c.want))
		}
		if _, err := etf.Encode(got); err != nil {
			t.Errorf("termOf(%#v) cannot be sent: %v", c.in, err)
		}
	}
}

// TestTermOf_AtomsAreOurs fills every string of a status and an event with words that must not become atoms.
func TestTermOf_AtomsAreOurs(t *testing.T) {
	t.Parallel()
	const foreign = "word_from_outside"
	for _, v := range []any{&api.Status{}, &api.Deployment{}, &api.Event{}, &api.HistoryEntry{}} {
		fill(reflect.ValueOf(v).Elem(), foreign)
		term, seen := termOf(v), 0
		walk(term, func(t2 etf.Term) {
			switch x := t2.(type) {
			case etf.Atom:
				if x == foreign {
					t.Errorf("%T: an atom %s", v, x)
				}
			case etf.Binary:
				if string(x) == foreign {
					seen++
				}
			}
		})
		if seen < 5 {
			t.Errorf("%T: %d words in %s", v, seen, etf.Format(term))
		}
	}
}

// fill puts word wherever a string can be.
func fill(v reflect.Value, word string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(word)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[api.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), word)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), word)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		val := reflect.New(v.Type().Elem()).Elem()
		if val.Kind() == reflect.Interface {
			val.Set(reflect.ValueOf(map[string]any{word: word}))
		}
		m.SetMapIndex(reflect.ValueOf(word), val)
		v.Set(m)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), word)
	}
}

func walk(t etf.Term, f func(etf.Term)) {
	f(t)
	switch t := t.(type) {
	case etf.List:
		for _, e := range t {
			walk(e, f)
		}
	case etf.Map:
		for _, p := range t {
			walk(p.Key, f)
			walk(p.Value, f)
		}
	}
}

func TestParseRight(t *testing.T) {
	t.Parallel()
	for _, want := range []Right{Read, Deploy, Admin} {
		if got, err := ParseRight(want.String()); err != nil || got != want {
			t.Errorf("ParseRight(%q) = %v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "none", "Read", "all"} {
		if _, err := ParseRight(bad); err == nil {
			t.Errorf("ParseRight(%q) gives no error", bad)
		}
	}
}
