package web_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// scribe is a daemon with one log of numbered lines; each time it is asked it gives a few and goes away.
type scribe struct {
	api.Control

	mu    sync.Mutex
	asked []api.LogRequest
}

func (s *scribe) Logs(_ context.Context, r api.LogRequest, yield func(api.LogLine) bool) error {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	begin := r.From["shop-abc123/stdout"]
	for n := begin; n < begin+3; n++ {
		if !yield(api.LogLine{Instance: "shop-abc123", Stream: "stdout", Text: fmt.Sprint(n), Level: "info", End: n + 1}) {
			return nil
		}
	}
	return nil
}

// A follower whose daemon goes away and comes back sees every line once.
func TestLogs_ResumeAfterTheDaemonWasAway(t *testing.T) {
	t.Parallel()
	s := &scribe{}
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := web.New(s, web.Options{})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln, server.Handler()) }()
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := client.New(socket)
	c.Reconnect = 20 * time.Second
	since := api.Time{Time: time.Date(2026, 11, 20, 18, 0, 0, 123456789, time.UTC)}
	req := api.LogRequest{
		Target: api.Target{App: "shop"}, Follow: true, Lines: 5, Since: since, Until: api.Time{Time: since.Add(time.Hour)},
		Level: "notice", Grep: "a+ b&c", Invert: true, All: true,
	}
	var got []string
	if err := c.Logs(t.Context(), req, func(l api.LogLine) bool {
		got = append(got, l.Text)
		return len(got) < 8
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"0", "1", "2", "3", "4", "5", "6", "7"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) != 3 || s.asked[0].From != nil || s.asked[2].From["shop-abc123/stdout"] != 6 {
		t.Fatalf("asked for %+v", s.asked)
	}
	for _, r := range s.asked {
		r.From = nil
		if !r.Since.Equal(req.Since.Time) || !r.Until.Equal(req.Until.Time) {
			t.Errorf("times %v to %v", r.Since, r.Until)
		}
		r.Since, r.Until = req.Since, req.Until
		if fmt.Sprintf("%+v", r) != fmt.Sprintf("%+v", req) {
			t.Errorf("asked for %+v, want %+v", r, req)
		}
	}
}
