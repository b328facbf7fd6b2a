package web

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// When all connections are being answered, a new one is closed.
func TestCrowd_AllBusy(t *testing.T) {
	t.Parallel()
	c := newCrowd(2)
	var conns []net.Conn
	for range 3 {
		a, b := net.Pipe()
		defer b.Close()
		conns = append(conns, a)
	}
	for _, conn := range conns[:2] {
		c.changed(conn, http.StateNew)
		c.changed(conn, http.StateActive)
	}
	c.changed(conns[2], http.StateNew)
	if _, err := conns[2].Write(nil); err != io.ErrClosedPipe {
		t.Errorf("the third: %v", err)
	}
	for _, conn := range conns[:2] {
		if err := conn.SetDeadline(time.Time{}); err != nil {
			t.Errorf("one that is being answered: %v", err)
		}
		c.changed(conn, http.StateClosed)
	}
	if len(c.busy)+len(c.waiting) != 0 {
		t.Errorf("%d and %d are left", len(c.busy), len(c.waiting))
	}
}
