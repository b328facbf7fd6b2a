package node

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
)

// The same as erlang:spawn_request/5 of OTP 25 and 27 says: badopt or not.
func TestSpawnFlags_RefusesWhatABEAMWould(t *testing.T) {
	t.Parallel()
	a := func(s string) etf.Term { return etf.Atom(s) }
	for _, c := range []struct {
		opts  etf.Term
		flags int
		ok    bool
	}{
		{etf.List{}, 0, true},
		{etf.List{a("link"), a("monitor")}, spawnLinked | spawnMonitored, true},
		{etf.List{etf.Tuple{a("monitor"), etf.List{}}}, spawnMonitored, true},
		{etf.List{a("monitor"), etf.Tuple{a("min_heap_size"), int64(100)}}, spawnMonitored, true},
		{etf.List{etf.Tuple{a("priority"), a("high")}, etf.Tuple{a("max_heap_size"), etf.Map{}}}, 0, true},
		{etf.List{etf.Tuple{a("message_queue_data"), a("off_heap")}, etf.Tuple{a("async_dist"), a("true")}}, 0, true},
		{etf.List{a("foo")}, 0, false},
		{etf.List{etf.Tuple{a("foo"), int64(1)}}, 0, false},
		{etf.List{etf.Tuple{a("priority"), a("x")}}, 0, false},
		{etf.List{etf.Tuple{a("min_heap_size"), a("x")}}, 0, false},
		{etf.List{etf.Tuple{a("min_heap_size"), int64(-1)}}, 0, false},
		{etf.List{etf.Tuple{a("message_queue_data"), a("bar")}}, 0, false},
		{etf.List{a("link"), etf.Tuple{a("link"), a("x"), a("y")}}, 0, false},
		{etf.List{int64(1)}, 0, false},
		{a("link"), 0, false},
	} {
		if flags, ok := spawnFlags(c.opts); flags != c.flags && c.ok || ok != c.ok {
			t.Errorf("spawnFlags(%s) = %d, %v, want %d, %v", etf.Format(c.opts), flags, ok, c.flags, c.ok)
		}
	}
}
