package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// Poller has the bucket looked at now.
type Poller interface {
	// Poll returns once the look is asked for; what it finds is told as always.
	Poll(ctx context.Context, app string) error
}

// How often polls may be asked for over TCP: so many at once, and one more each second.
const (
	pollBurst = 10
	pollEvery = time.Second
)

func (s *Server) poll(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := decodeWhole(w, r, &struct{}{}); err != nil {
		return nil, err
	}
	return nil, s.poller.Poll(r.Context(), r.PathValue("app"))
}

// pollOverTCP is poll for whoever has the token: a webhook of CI or of the bucket. It is the one request over TCP that has
// something done. Its body is not read, as every sender has its own.
func (s *Server) pollOverTCP(w http.ResponseWriter, r *http.Request) {
	token, err := s.pollToken()
	switch {
	case err != nil:
		s.log.Error("the token for polls cannot be read; they are refused", "err", err)
		respondError(w, api.Errorf(api.CodeDenied, "polls are refused: see the daemon's log"))
		return
	case token == "":
		respondError(w, &api.Error{Code: api.CodeDenied, Message: "polls are not allowed here", Hint: "web.poll_token_file names a file with a token; beamkeeper poll asks on the host"})
		return
	}
	if !sameToken(bearer(r), token) {
		if wait := s.pollFailures.take(time.Now()); wait > 0 {
			tooMany(w, wait)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="beamkeeper"`)
		respond(w, http.StatusUnauthorized, api.Errorf(api.CodeDenied, "this takes the token of web.poll_token_file: Authorization: Bearer TOKEN"))
		return
	}
	if wait := s.polls.take(time.Now()); wait > 0 {
		tooMany(w, wait)
		return
	}
	if err := s.poller.Poll(r.Context(), r.PathValue("app")); err != nil {
		respondError(w, err)
		return
	}
	respond(w, http.StatusAccepted, struct{}{})
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	seconds := int((wait + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	respond(w, http.StatusTooManyRequests, api.Errorf(api.CodeRefused, "too many polls; try again in %d s", seconds))
}

// bearer is the token of a request; empty when it has none.
func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// sameToken takes the same time whatever is compared: the hashes hide even the lengths.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1 && a != ""
}

// allowance lets pollBurst through at once, and one more with each pollEvery.
type allowance struct {
	mu   sync.Mutex
	next time.Time // when all that was taken is given back
}

// take takes one, or says how long to wait for it.
func (a *allowance) take(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next.Before(now) {
		a.next = now
	}
	if wait := a.next.Sub(now) - (pollBurst-1)*pollEvery; wait > 0 {
		return wait
	}
	a.next = a.next.Add(pollEvery)
	return 0
}
