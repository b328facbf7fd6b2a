package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// Limits of the server. Streams lift the read and write deadlines and set one for each write instead.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	maxBodyBytes      = 1 << 20
)

// Options of a Server. The zero value is usable.
type Options struct {
	// Log gets one line for each request: Info for those that change something, Debug for the others. Nil: none.
	Log *slog.Logger
	// Hosts are names, besides localhost and IP addresses, that the Host header of a request over TCP may carry.
	// Any other name is refused, so that a web page cannot reach the daemon through a name it controls.
	Hosts []string
	// State answers what is asked about the daemon's state. Nil: such requests are not found.
	State api.StateKeeper
	// Heartbeat is how often an idle stream carries a sign of life. Zero: 15 s.
	Heartbeat time.Duration
	// Poller is asked for looks at the bucket. Nil: there is none.
	Poller Poller
	// PollToken gives the token with which a look may be asked for over TCP; it is asked with each request. Empty, or nil:
	// that is not allowed.
	PollToken func() (string, error)
	// Configuration is asked about the daemon's file. Nil: there is none.
	Configuration api.Configuration
	// Metrics answers GET /metrics, also over TCP. Nil: there are none.
	Metrics http.Handler
	// Right says what a caller on the control socket may do; it is asked with each request. Nil: everything. Listeners that
	// are ReadOnly do not ask it.
	Right func(api.Caller) Right
}

// Server serves one api.Control on any number of listeners.
type Server struct {
	// constant
	control api.Control
	state   api.StateKeeper
	log     *slog.Logger

	configuration api.Configuration
	poller        Poller
	pollToken     func() (string, error)
	polls         allowance // of those with the right token
	pollFailures  allowance // of those without
	right         func(api.Caller) Right

	metrics   http.Handler
	hosts     map[string]bool
	heartbeat time.Duration
	full      http.Handler
	readOnly  http.Handler
	stopping  chan struct{} // closed by Close: streams end

	mu      sync.Mutex
	closed  bool
	servers []*serving
}

// New returns a server for control. It listens nowhere until Serve.
func New(control api.Control, o Options) *Server {
	s := &Server{control: control, state: o.State, log: o.Log, heartbeat: o.Heartbeat, stopping: make(chan struct{}), hosts: map[string]bool{"localhost": true}}
	s.configuration, s.right, s.metrics = o.Configuration, o.Right, o.Metrics
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.heartbeat <= 0 {
		s.heartbeat = 15 * time.Second
	}
	for _, h := range o.Hosts {
		s.hosts[h] = true
	}
	if s.poller, s.pollToken = o.Poller, o.PollToken; s.pollToken == nil {
		s.pollToken = func() (string, error) { return "", nil }
	}
	s.full = s.handler(false)
	shown := &Server{control: withoutLogs{control}, log: s.log, metrics: s.metrics, hosts: s.hosts, heartbeat: s.heartbeat, stopping: s.stopping}
	shown.poller, shown.pollToken = s.poller, s.pollToken
	s.readOnly = shown.handler(true)
	return s
}

// Handler is the whole control API. Whoever reaches it may do everything: it belongs on the unix socket.
func (s *Server) Handler() http.Handler { return s.full }

// ReadOnly is what may be shown to whoever reaches a TCP port: health, status, nodes, history, deployments and
// events, without what applications wrote. The rest answers denied, until there are accounts to tell callers apart.
func (s *Server) ReadOnly() http.Handler { return s.readOnly }

// Serve answers requests on ln with h until Close, and then returns nil. It closes ln.
func (s *Server) Serve(ln net.Listener, h http.Handler) error {
	crowd, traffic := newCrowd(maxConns), &traffic{open: make(map[net.Conn]struct{})}
	hs := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       connContext,
		ConnState:         func(c net.Conn, to http.ConnState) { traffic.changed(c, to); crowd.changed(c, to) },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ln.Close()
	}
	ended := make(chan struct{})
	s.servers = append(s.servers, &serving{http: hs, ln: ln, traffic: traffic, ended: ended})
	s.mu.Unlock()
	err := hs.Serve(ln)
	close(ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, http.ErrServerClosed) || s.closed && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close stops listening, ends the streams, and waits for the requests under way until ctx ends, then cuts them off.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stopping)
	}
	servers := s.servers
	s.servers = nil
	s.mu.Unlock()
	var ends sync.WaitGroup
	errs := make([]error, len(servers))
	for i, one := range servers {
		ends.Go(func() { errs[i] = one.end(ctx) })
	}
	ends.Wait()
	return errors.Join(errs...)
}
