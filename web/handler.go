package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// action answers one request: with a value for JSON, or an error.
type action func(w http.ResponseWriter, r *http.Request) (any, error)

func (s *Server) handler(readOnly bool) http.Handler {
	mux := http.NewServeMux()
	read := func(pattern string, a action) { mux.Handle(pattern, s.may(RightRead, s.json(http.StatusOK, a))) }
	takes := func(need Right, pattern string, status int, a action) {
		if readOnly {
			a = refuseOverTCP
		}
		mux.Handle(pattern, s.may(need, s.json(status, a)))
	}
	change := func(pattern string, status int, a action) { takes(RightDeploy, pattern, status, a) }
	admin := func(pattern string, status int, a action) { takes(RightAdmin, pattern, status, a) }
	raw := func(pattern string, f http.HandlerFunc) { mux.Handle(pattern, s.may(RightRead, f)) }

	mux.HandleFunc("GET /health", s.health)
	read("GET /v1/status", s.status)
	read("GET /v1/nodes", s.nodes)
	read("GET /v1/apps/{app}/history", s.history)
	read("GET /v1/deployments", s.deployments)
	read("GET /v1/deployments/{id}", s.deployment)
	raw("GET /v1/events", s.events)
	if s.metrics != nil {
		raw("GET /metrics", s.metrics.ServeHTTP)
	}

	change("POST /v1/deployments", http.StatusAccepted, s.deploy)
	change("POST /v1/deployments/{id}/abort", http.StatusOK, s.abort)
	change("POST /v1/deployments/{id}/commit", http.StatusAccepted, s.commit)
	change("POST /v1/deployments/{id}/revert", http.StatusAccepted, s.revert)
	for verb, do := range map[string]targetFunc{"start": s.control.Start, "stop": s.control.Stop, "restart": s.control.Restart} {
		change("POST /v1/apps/{app}/"+verb, http.StatusOK, onTarget(do))
		change("POST /v1/apps/{app}/instances/{instance}/"+verb, http.StatusOK, onTarget(do))
	}
	change("POST /v1/apps/{app}/scale", http.StatusOK, s.scale)
	read("GET /v1/apps/{app}/ghosts", s.ghosts)
	change("POST /v1/apps/{app}/ghosts/clear", http.StatusOK, s.clearGhosts)
	change("POST /v1/apps/{app}/plan", http.StatusOK, s.plan)
	change("POST /v1/apps/{app}/pin", http.StatusAccepted, onVersion(s.control.Pin))
	change("POST /v1/apps/{app}/rollback", http.StatusAccepted, onVersion(s.control.Rollback))
	for verb, do := range map[string]func(context.Context, string) error{"unpin": s.control.Unpin, "freeze": s.control.Freeze, "unfreeze": s.control.Unfreeze} {
		change("POST /v1/apps/{app}/"+verb, http.StatusOK, onApp(do))
	}
	switch {
	case s.poller == nil:
	case readOnly:
		mux.HandleFunc("POST /v1/apps/{app}/poll", s.pollOverTCP)
	default:
		change("POST /v1/apps/{app}/poll", http.StatusAccepted, s.poll)
	}
	admin("POST /v1/apps/{app}/purge", http.StatusOK, s.purge)
	read("GET /v1/unclaimed", s.unclaimed)
	admin("POST /v1/adopt", http.StatusOK, s.adopt)
	if s.state != nil {
		admin("POST /v1/state/backup", http.StatusOK, func(_ http.ResponseWriter, r *http.Request) (any, error) { return s.state.BackupState(r.Context()) })
		admin("GET /v1/state/check", http.StatusOK, func(_ http.ResponseWriter, r *http.Request) (any, error) { return s.state.CheckState(r.Context()) })
		admin("GET /v1/state/export", http.StatusOK, func(_ http.ResponseWriter, r *http.Request) (any, error) { return s.state.ExportState(r.Context()) })
	}
	admin("POST /v1/rpc", http.StatusOK, s.rpc)
	takes(RightRead, "POST /v1/config/diff", http.StatusOK, s.configDiff)
	admin("POST /v1/config/apply", http.StatusOK, s.configApply)
	if readOnly {
		change("GET /v1/logs", http.StatusOK, nil) // an application's log may hold anything
	} else {
		mux.Handle("GET /v1/logs", s.may(RightDeploy, http.HandlerFunc(s.logs)))
	}
	read("/", noSuchPath)

	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(s.json(http.StatusForbidden, refuseCrossOrigin))
	h := sameOrigin.Handler(mux)
	if readOnly {
		h = s.checkHost(h)
	}
	return s.record(h)
}

func refuseOverTCP(http.ResponseWriter, *http.Request) (any, error) {
	return nil, &api.Error{Code: api.CodeDenied, Message: "this is allowed over the control socket only", Hint: "use the beamkeeper command on the host"}
}

func refuseCrossOrigin(http.ResponseWriter, *http.Request) (any, error) {
	return nil, api.Errorf(api.CodeDenied, "a web page of another origin may not ask this")
}

func noSuchPath(_ http.ResponseWriter, r *http.Request) (any, error) {
	return nil, api.Errorf(api.CodeNotFound, "no %s %.200q here", r.Method, r.URL.Path)
}

// json makes a handler that answers a's value, or its error, as JSON.
func (s *Server) json(status int, a action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			allowLong(w)
		}
		v, err := a(w, r)
		if err != nil {
			respondError(w, err)
			return
		}
		if v == nil {
			v = struct{}{}
		}
		respond(w, status, v)
	})
}

// allowLong lifts the read deadline once the request is read: net/http would end its context with it.
func allowLong(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // recorders in tests have none
}

// checkHost refuses names that are not the host's own (DNS rebinding).
func (s *Server) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil && !s.hosts[host] {
			respondError(w, api.Errorf(api.CodeDenied, "unknown host %.100q", host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ForNode is the header that names the node which a request is made for. It counts only in requests that this process
// makes to itself, for erl -remsh.
const ForNode = "Beamkeeper-For-Node"

// forNode adds the node that a request is made for to its caller.
func forNode(r *http.Request) *http.Request {
	name := r.Header.Get(ForNode)
	c, ok := api.CallerFrom(r.Context())
	if name == "" || !ok || c.Via != "socket" || c.PID != os.Getpid() {
		return r
	}
	c.Node = name
	return r.WithContext(api.WithCaller(r.Context(), c))
}

// record logs every request with who made it, and turns a panic into an answer.
func (s *Server) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		r = forNode(r)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(p)
			}
			if p != nil {
				s.log.Error("panic in a control request", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if rec.status != 0 {
					panic(http.ErrAbortHandler) // half an answer is out: cut it off
				}
				respondError(rec, api.Errorf(api.CodeFailed, "internal error, see the daemon's log"))
			}
			s.logRequest(r, rec.status, time.Since(started))
		}()
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) logRequest(r *http.Request, status int, took time.Duration) {
	level := slog.LevelDebug
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Int64("took_ms", took.Milliseconds()),
	}
	if c, ok := api.CallerFrom(r.Context()); ok {
		attrs = append(attrs, slog.Group("caller", "via", c.Via, "uid", c.UID, "gid", c.GID, "pid", c.PID, "addr", c.Addr, "node", c.Node))
	}
	s.log.LogAttrs(r.Context(), level, "control request", attrs...)
}

// recorder remembers the status that was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(b []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	return rec.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }
