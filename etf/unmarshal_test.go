package etf

import (
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

type appStatus struct {
	Name            string
	OSPid           int `etf:"os_pid"`
	MessageQueueLen uint16
	Ratio           float64
	Running         bool
	Version         *string
	Tags            []string
	Ports           map[string]int
	Nested          struct{ Deep []struct{ V int8 } }
	Skipped         string `etf:"-"`
	Raw             Term
	Owner           Pid
	Big             *big.Int
	Data            []byte
	Pair            [2]int
	unexported      int
}

func mustParse(t testing.TB, text string) Term {
	t.Helper()
	term, err := ParseTerm(text)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func TestUnmarshal_Struct(t *testing.T) {
	pid := Pid{Node: "a@b", ID: 7}
	term := append(mustParse(t, `#{name => <<"shop">>, os_pid => 77, message_queue_len => 3, ratio => 2, running => true, version => "1.2",
		tags => [<<"a">>, "b", c, []], ports => #{port => 4000, <<"admin">> => 4001}, nested => [{deep, [[{v, -3}], #{v => 4}]}],
		skipped => x, raw => {any, 'Term'}, big => 18446744073709551616, data => <<1,2>>, pair => {1,2}, other => ignored, {odd} => key, unexported => 5}`).(Map),
		MapPair{Atom("owner"), pid})
	b, err := Encode(term)
	if err != nil {
		t.Fatal(err)
	}
	got := appStatus{Skipped: "kept"}
	if err := Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	version := "1.2"
	want := appStatus{
		Name: "shop", OSPid: 77, MessageQueueLen: 3, Ratio: 2, Running: true, Version: &version, Tags: []string{"a", "b", "c", ""},
		Ports: map[string]int{"port": 4000, "admin": 4001}, Skipped: "kept", Raw: Tuple{Atom("any"), Atom("Term")}, Owner: pid,
		Big: new(big.Int).Lsh(big.NewInt(1), 64), Data: []byte{1, 2}, Pair: [2]int{1, 2},
	}
	want.Nested.Deep = []struct{ V int8 }{{-3}, {4}}
	if !reflect.DeepEqual(got, want) || got.unexported != 0 {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

type rpcReply struct {
	_     struct{} `etf:",tuple"`
	Tag   Atom
	Value any
}

type etsRecord struct {
	_    struct{} `etf:"etop_proc_info,record"`
	Pid  Pid
	Mem  int
	Name Atom
}

type celsius float64

func (c *celsius) UnmarshalETF(t Term) error {
	var f struct{ Degrees float64 }
	if err := UnmarshalTerm(t, &f); err != nil {
		return err
	}
	*c = celsius(f.Degrees)
	return nil
}

func TestUnmarshal_Kinds(t *testing.T) {
	undefined := "x"
	for _, tt := range []struct {
		in   string
		into any
		want any
	}{
		{"{ok, [1,2]}", new(rpcReply), &rpcReply{Tag: "ok", Value: List{int64(1), int64(2)}}},
		{"[{a,1},{b,2},{a,3}]", &map[Atom]int{}, &map[Atom]int{"a": 1, "b": 2}},
		{"[x,{name,\"n\"}]", &struct {
			X    bool
			Name string
		}{}, &struct {
			X    bool
			Name string
		}{true, "n"}},
		{"undefined", &struct{ P **string }{}, nil},
		{"[undefined, nil, \"v\"]", &[]*string{&undefined}, nil},
		{"{1,a,<<\"b\">>}", &[]any{}, &[]any{int64(1), Atom("a"), Binary("b")}},
		{"[1,2,3]", &[]int{}, &[]int{1, 2, 3}},
		{"\"abc\"", &[]int{}, &[]int{97, 98, 99}},
		{"\"abc\"", &[]byte{}, &[]byte{97, 98, 99}},
		{"<<\"abc\">>", new(string), ptr("abc")},
		{"[<<\"a\">>,$b,[\"c\"]]", new(string), ptr("abc")},
		{"#{{k,1} => v}", &map[any]string{}, nil},
		{"#{1 => x}", &map[int]string{}, &map[int]string{1: "x"}},
		{"#{temp => #{degrees => 3.5}}", &map[string]celsius{}, &map[string]celsius{"temp": 3.5}},
		{"18446744073709551615", new(uint64), ptr(uint64(1<<64 - 1))},
		{"5", new(big.Int), big.NewInt(5)},
		{"5", new(any), ptr[any](int64(5))},
		{"36893488147419103232", new(float64), ptr(float64(1 << 65))},
		{"[]", &[]int{1}, &[]int{}},
		{"[]", &map[string]int{"a": 1}, &map[string]int{}},
	} {
		err := UnmarshalTerm(mustParse(t, tt.in), tt.into)
		if tt.want == nil {
			continue
		}
		if err != nil || !reflect.DeepEqual(tt.into, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", tt.in, tt.into, err, tt.want)
		}
	}
	var rec etsRecord
	if err := UnmarshalTerm(Tuple{Atom("etop_proc_info"), Pid{ID: 3}, 4, Atom("x")}, &rec); err != nil || rec.Pid.ID != 3 || rec.Mem != 4 || rec.Name != "x" {
		t.Errorf("record: %+v, %v", rec, err)
	}
	text := "x"
	held := struct{ P *string }{&text}
	if err := UnmarshalTerm(mustParse(t, "#{p => undefined}"), &held); err != nil || held.P != nil {
		t.Errorf("undefined left the pointer as it was, %v", err)
	}
	var list []*string
	if err := UnmarshalTerm(mustParse(t, "[undefined,nil,null,\"v\"]"), &list); err != nil || list[0] != nil || list[1] != nil || list[2] != nil || *list[3] != "v" {
		t.Errorf("pointers: %v, %v", list, err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestUnmarshal_ErrorsNameThePath(t *testing.T) {
	type app struct {
		Version string
		Temp    celsius
		ID      int `etf:"id,required"`
	}
	type status struct {
		Apps  []app
		Limit int8
		M     map[string][]bool
	}
	for _, tt := range []struct{ in, want string }{
		{"#{apps => [#{id => 1}, #{id => 2}, #{id => 3, version => 5}]}", `etf: apps[2].version: cannot put 5 into string`},
		{"#{apps => [[{id,a}]]}", `etf: apps[0].id: cannot put a into int`},
		{"#{apps => [[]]}", `etf: apps[0].id: missing`},
		{"#{limit => 200}", `etf: limit: cannot put 200 into int8`},
		{"#{m => #{key => [true,1]}}", `etf: m.key[1]: cannot put 1 into bool`},
		{"#{apps => x}", `etf: apps: cannot put x into []etf.app`},
		{"#{apps => [#{id => 1, temp => #{degrees => hot}}]}", `etf: apps[0].temp.degrees: cannot put hot into float64`},
		{"7", `etf: cannot put 7 into etf.status`},
		{"{1,2}", `etf: cannot put {1,2} into etf.status`},
		{"[a|b]", `etf: cannot put [a|b] into etf.status`},
		{"\"" + strings.Repeat("é", 100) + "\"", "etf: cannot put \"" + strings.Repeat("é", 29) + "... into etf.status"},
	} {
		var s status
		err := UnmarshalTerm(mustParse(t, tt.in), &s)
		var ue *UnmarshalError
		if !errors.As(err, &ue) || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.in, err, tt.want)
		}
	}
	for _, tt := range []struct {
		in   string
		into any
	}{
		{"undefined", new(bool)}, {"nil", new(int)}, {"false", new(int)}, {"-1", new(uint)}, {"{1,2}", &[3]int{}}, {"{a,b,c}", new(rpcReply)}, {"{other,1,2,3}", new(etsRecord)},
		{"1.5", new(int)}, {"[1|2]", &[]int{}}, {"#{[1] => x}", &map[any]string{}}, {"a", new(big.Int)}, {"a", new(chan int)}, {"<<1:1>>", new(string)}, {"[{a,1,2}]", &map[string]int{}},
		{"1.0e300", new(float32)}, {"18446744073709551616", new(uint64)}, {"9223372036854775808", new(int64)},
	} {
		if err := UnmarshalTerm(mustParse(t, tt.in), tt.into); err == nil {
			t.Errorf("%s went into %T", tt.in, tt.into)
		}
	}
	for _, v := range []any{nil, appStatus{}, (*int)(nil)} {
		if err := UnmarshalTerm(int64(1), v); err == nil {
			t.Errorf("UnmarshalTerm into %#v is no error", v)
		}
	}
	if err := UnmarshalTerm(nil, new(int)); err == nil {
		t.Error("a nil term is no error")
	}
	if err := Unmarshal([]byte{131}, new(int)); !errors.Is(err, ErrTruncated) {
		t.Errorf("Unmarshal of nothing: %v", err)
	}
}
