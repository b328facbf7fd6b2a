package etf

import (
	"math"
	"slices"
	"testing"
)

// What OTP cannot tell us in text: identifiers, native records, Go values, and 0.0 and -0.0, which differ since OTP 27.
func TestCompare_InOrder(t *testing.T) {
	zero := math.Copysign(0, -1)
	ordered := List{
		int64(1), Atom("a"), Ref{Node: "a@b", Len: 3}, Ref{Node: "a@b", Len: 3, ID: [5]uint32{1}}, Ref{Node: "a@b", Len: 3, ID: [5]uint32{0, 1}}, Ref{Node: "b@b", Len: 1},
		&Fun{Module: "a", OldIndex: int64(0), OldUniq: int64(0)}, &Fun{Module: "b", OldIndex: int64(0), OldUniq: int64(0)}, Export{Module: "a"}, Port{Node: "a@b"}, Port{Node: "a@b", ID: 1},
		Pid{Node: "a@b"}, Pid{Node: "b@b"}, Pid{Node: "a@b", ID: 1}, Pid{Node: "a@b", Serial: 1}, Tuple{}, Tuple{int64(9)},
		&Record{Module: "m", Name: "a"}, &Record{Module: "m", Name: "b", Fields: []RecordField{{"f", int64(1)}}}, &Record{Module: "m", Name: "b", Fields: []RecordField{{"f", int64(2)}}},
		Map{}, Map{{zero, int64(1)}}, Map{{0.0, int64(1)}}, List{}, List{int64(1)}, Binary{}, Bitstring{Bytes: []byte{0}, Bits: 1}, Local{1}, Local{2},
	}
	for i, x := range ordered {
		for j, y := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := Compare(x, y); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", Format(x), Format(y), got, want)
			}
			if Equal(x, y) != (i == j) {
				t.Errorf("Equal(%s, %s) = %t", Format(x), Format(y), i != j)
			}
		}
	}
	turned := slices.Clone(ordered)
	slices.Reverse(turned)
	slices.SortFunc(turned, Compare)
	if !Equal(turned, ordered) {
		t.Errorf("sorted: %s", Format(turned))
	}
}

func TestEqual_GoValues(t *testing.T) {
	for _, tt := range []struct {
		a, b Term
		want bool
	}{
		{5, int64(5), true}, {uint8(5), int32(5), true}, {"x", Binary("x"), true}, {true, Atom("true"), true}, {[]Term{1}, Charlist("\x01"), true}, {float32(0.5), 0.5, true}, {1, 1.0, false},
		{0.0, math.Copysign(0, -1), false}, {Bitstring{Bytes: []byte{1}, Bits: 8}, "\x01", true}, {Bitstring{Bytes: []byte{0xFF}, Bits: 1}, Bitstring{Bytes: []byte{0x80}, Bits: 1}, true},
		{ImproperList{Elems: []Term{1}, Tail: Charlist("a")}, List{1, 'a'}, true}, {ImproperList{Elems: []Term{1}, Tail: 2}, List{1, 2}, false}, {ImproperList{Tail: 2}, 2, true},
		{Map{{"a", 1}, {Tuple{1}, 2}}, Map{{Tuple{int64(1)}, int64(2)}, {Binary("a"), 1}}, true}, {Map{{"a", 1}}, Map{{"a", 2}}, false}, {Map{{"a", 1}}, Map{{"b", 1}}, false}, {nil, nil, false}, {nil, 1, false},
		{&Record{Name: "r"}, &Record{Name: "r", Exported: true}, false}, {Local{1}, Local{1}, true}, {List{}, Charlist(""), true}, {List(nil), List{}, true},
	} {
		if got := Equal(tt.a, tt.b); got != tt.want {
			t.Errorf("Equal(%s, %s) = %t", Format(tt.a), Format(tt.b), got)
		}
		if got := Equal(tt.b, tt.a); got != tt.want {
			t.Errorf("Equal(%s, %s) = %t", Format(tt.b), Format(tt.a), got)
		}
	}
}
