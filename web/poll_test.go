package web_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// pollers counts what was polled.
type pollers map[string]int

func (p pollers) Poll(_ context.Context, app string) error {
	if app != "sample" {
		return api.Errorf(api.CodeNotFound, "there is no app %q", app)
	}
	p[app]++
	return nil
}

const pollSecret = "0123456789abcdef0123456789abcdef"

func polling(p pollers, token func() (string, error)) *web.Server {
	return web.New(newFake(), web.Options{Poller: p, PollToken: token})
}

func constant() (string, error) { return pollSecret, nil }

func TestPoll_OverTheSocket(t *testing.T) {
	t.Parallel()
	p := pollers{}
	socket, _ := serve(t, newFake(), web.Options{Poller: p})
	c := client.New(socket)
	if err := c.Poll(t.Context(), "sample"); err != nil || p["sample"] != 1 {
		t.Errorf("Poll: %v, polled %d times", err, p["sample"])
	}
	var e *api.Error
	if err := c.Poll(t.Context(), "other"); !errors.As(err, &e) || e.Code != api.CodeNotFound {
		t.Errorf("Poll of an unknown app: %v", err)
	}
}

func TestPoll_OverTCPTakesTheToken(t *testing.T) {
	t.Parallel()
	p := pollers{}
	h := polling(p, constant).ReadOnly()
	const path = "http://localhost/v1/apps/sample/poll"
	for _, tt := range []struct {
		name, token string
		status      int
	}{
		{"none", "", 401},
		{"empty", "Bearer ", 401},
		{"wrong", "Bearer " + strings.Repeat("x", 32), 401},
		{"a part", "Bearer " + pollSecret[:31], 401},
		{"more", "Bearer " + pollSecret + "0", 401},
		{"other scheme", "Basic " + pollSecret, 401},
		{"right", "Bearer " + pollSecret, 202},
		{"right, other case", "bearer " + pollSecret, 202},
	} {
		w := do(h, "POST", path, `{"whatever":"a webhook sends"}`, "Authorization", tt.token)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, w.Code, w.Body, tt.status)
		}
		if strings.Contains(w.Body.String(), pollSecret) {
			t.Errorf("%s: the answer has the token", tt.name)
		}
	}
	if p["sample"] != 2 {
		t.Errorf("polled %d times", p["sample"])
	}
	if w := do(h, "POST", "http://localhost/v1/apps/other/poll", "", "Authorization", "Bearer "+pollSecret); w.Code != 404 {
		t.Errorf("an unknown app: %d", w.Code)
	}
	// The token is for this alone.
	if w := do(h, "POST", "http://localhost/v1/apps/sample/restart", "{}", "Authorization", "Bearer "+pollSecret); w.Code != 403 {
		t.Errorf("restart: %d", w.Code)
	}
	if w := do(h, "GET", path, "", "Authorization", "Bearer "+pollSecret); w.Code == http.StatusAccepted {
		t.Error("GET polls")
	}
}

func TestPoll_OverTCPIsOffWithoutAToken(t *testing.T) {
	t.Parallel()
	p := pollers{}
	for name, token := range map[string]func() (string, error){
		"none": nil, "empty": func() (string, error) { return "", nil },
		"unreadable": func() (string, error) { return "", errors.New("no such file") },
	} {
		w := do(polling(p, token).ReadOnly(), "POST", "http://localhost/v1/apps/sample/poll", "", "Authorization", "Bearer ")
		if w.Code != 403 || len(p) != 0 {
			t.Errorf("%s: %d %s, polled %v", name, w.Code, w.Body, p)
		}
	}
}

func TestPoll_IsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pollers{}
		h := polling(p, constant).ReadOnly()
		ask := func(token string) int {
			return do(h, "POST", "http://localhost/v1/apps/sample/poll", "", "Authorization", "Bearer "+token).Code
		}
		for range 20 {
			ask("wrong")
		}
		if code := ask("wrong"); code != http.StatusTooManyRequests {
			t.Errorf("the 21st guess: %d", code)
		}
		// Guesses of others take nothing from whoever has the token.
		for i := range 10 {
			if code := ask(pollSecret); code != http.StatusAccepted {
				t.Errorf("poll %d: %d", i, code)
			}
		}
		w := do(h, "POST", "http://localhost/v1/apps/sample/poll", "", "Authorization", "Bearer "+pollSecret)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || p["sample"] != 10 {
			t.Errorf("poll 11: %d, Retry-After %q, polled %d times", w.Code, w.Header().Get("Retry-After"), p["sample"])
		}
		time.Sleep(time.Second)
		if code := ask(pollSecret); code != http.StatusAccepted {
			t.Errorf("a second later: %d", code)
		}
	})
}
