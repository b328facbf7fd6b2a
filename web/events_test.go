package web_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
)

func TestEvents_AsServerSentEvents(t *testing.T) {
	t.Parallel()
	h := web.New(newFake(), web.Options{}).Handler()
	w := do(h, "GET", "/v1/events?since=1", "")
	if ct := w.Header().Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	want := "retry: 1000\n\nid: 2\ndata: {\"id\":2,"
	if !strings.HasPrefix(w.Body.String(), want) {
		t.Errorf("got %q, want prefix %q", w.Body, want)
	}
	w = do(h, "GET", "/v1/events?since=0", "", "Last-Event-ID", "2")
	if b := w.Body.String(); strings.Contains(b, "id: 2\n") || !strings.Contains(b, "id: 3\n") {
		t.Errorf("Last-Event-ID 2: %q, want event 3 alone", b)
	}
	if w = do(h, "GET", "/v1/events?since=3", ""); w.Code != 200 || w.Body.String() != "retry: 1000\n\n" {
		t.Errorf("no events: %d %q", w.Code, w.Body)
	}
}

func TestEvents_UnshowableDataIsLeftOut(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.kept = []api.Event{{ID: 1, Message: "kept", Data: map[string]any{"f": func() {}}}}
	w := do(web.New(f, web.Options{}).Handler(), "GET", "/v1/events", "")
	if !strings.Contains(w.Body.String(), `"message":"kept"`) {
		t.Errorf("got %q", w.Body)
	}
}

func TestEvents_SignsOfLife(t *testing.T) {
	t.Parallel()
	s := web.New(newFake(), web.Options{Heartbeat: 10 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := httptest.NewRequest("GET", "/v1/events?since=3&follow=true", nil).WithContext(ctx)
	w := &cancelOn{ResponseRecorder: httptest.NewRecorder(), text: ": alive\n\n: alive\n\n", cancel: cancel}
	s.Handler().ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), w.text) {
		t.Errorf("got %q", w.Body)
	}
}

// cancelOn cancels once text was written.
type cancelOn struct {
	*httptest.ResponseRecorder
	text   string
	cancel context.CancelFunc
}

func (c *cancelOn) Write(b []byte) (int, error) {
	n, err := c.ResponseRecorder.Write(b)
	if strings.Contains(c.Body.String(), c.text) {
		c.cancel()
	}
	return n, err
}

// TestEvents_ClientComesBack takes the daemon away in the middle of a followed stream and brings another, which knows
// later events too: the client misses none and sees none twice.
func TestEvents_ClientComesBack(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s.sock")
	f := newFake()
	s := serveAt(t, socket, f, web.Options{})
	c := newClient(t, socket)
	c.Reconnect = 20 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	away := make(chan struct{})
	back := make(chan struct{})
	go func() {
		defer close(back)
		<-away
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		f.addEvent("while away")
		serveAt(t, socket, f, web.Options{})
	}()
	err := c.Events(ctx, 1, true, func(e api.Event) bool {
		got = append(got, fmt.Sprint(e.ID))
		if e.ID == 3 {
			close(away)
		}
		return e.Message != "while away"
	})
	<-back
	if err != nil || strings.Join(got, " ") != "2 3 4" {
		t.Errorf("events %v, %v, want 2 3 4", got, err)
	}
}

func TestEvents_WithoutReconnectTheStreamEnds(t *testing.T) {
	t.Parallel()
	socket, s := serve(t, newFake(), web.Options{})
	err := newClient(t, socket).Events(t.Context(), 0, true, func(e api.Event) bool {
		if e.ID == 3 {
			go func() { _ = s.Close(context.Background()) }() // the cleanup closes again and waits
		}
		return true
	})
	if err != nil {
		t.Errorf("err = %v, want nil", err)
	}
}
