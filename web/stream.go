package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// headGrace is how long a stream waits for its first item or error before it answers 200: an error that comes at
// once (no such app) still gets its own status.
const headGrace = 250 * time.Millisecond

// stream writes items to one caller, with signs of life in between, until the caller goes or the server closes.
type stream struct {
	// constant
	w           http.ResponseWriter
	rc          *http.ResponseController
	contentType string
	alive       []byte             // a sign of life
	head        []byte             // sent before anything else
	cancel      context.CancelFunc // ends the source when the caller cannot be written to

	mu      sync.Mutex
	started bool
	err     error // sticky: the first write error
}

// run starts the stream, lets source feed it, and ends it with source's error if it failed.
// A panic of source passes through, once nothing else writes to the caller.
func (s *Server) run(st *stream, w http.ResponseWriter, r *http.Request, source func(context.Context) error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st.w, st.rc, st.cancel = w, http.NewResponseController(w), cancel
	allowLong(w)
	var wg sync.WaitGroup
	wg.Go(func() { s.keepAlive(ctx, st) })
	err := func() error {
		defer wg.Wait()
		defer cancel()
		return source(ctx)
	}()
	if err == nil || r.Context().Err() != nil {
		if r.Context().Err() == nil {
			st.write(nil) // an empty stream still has a head
		}
		return
	}
	select {
	case <-s.stopping:
		return // the server ended it; the caller may come back
	default:
	}
	st.fail(asError(err))
}

func (s *Server) keepAlive(ctx context.Context, st *stream) {
	timer := time.NewTimer(headGrace)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stopping:
			st.cancel()
			return
		case <-timer.C:
			st.write(st.alive)
			timer.Reset(s.heartbeat)
		}
	}
}

// write sends b at once and reports whether the caller is still there.
func (st *stream) write(b []byte) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.err != nil {
		return false
	}
	_ = st.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // recorders in tests have none
	if !st.started {
		st.started = true
		h := st.w.Header()
		h.Set("Content-Type", st.contentType)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // nginx would hold the stream back
		st.w.WriteHeader(http.StatusOK)
		b = append(append([]byte(nil), st.head...), b...)
	}
	if _, st.err = st.w.Write(b); st.err == nil {
		st.err = st.rc.Flush()
	}
	if st.err != nil {
		st.cancel()
	}
	return st.err == nil
}

// fail answers e: with its own status when nothing was sent yet, else as the stream's last item.
func (st *stream) fail(e *api.Error) {
	st.mu.Lock()
	started := st.started
	st.mu.Unlock()
	if !started {
		respondError(st.w, e)
		return
	}
	b, _ := json.Marshal(e) // strings only: cannot fail
	if st.contentType == typeSSE {
		st.write([]byte("event: failure\ndata: " + string(b) + "\n\n"))
		return
	}
	st.write([]byte(`{"error":` + string(b) + "}\n"))
}

const (
	typeSSE    = "text/event-stream"
	typeNDJSON = "application/x-ndjson"
)

// queryBool reads key as true or false; absent is false.
func queryBool(r *http.Request, key string) (bool, error) {
	v := r.FormValue(key)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, badQuery(key, v, "true or false")
	}
	return b, nil
}
