// Package client speaks the control API of a daemon over its unix socket. A Client satisfies api.Control.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
)

// dialTimeout bounds the connect; a unix socket answers at once or not at all.
const dialTimeout = 5 * time.Second

// maxAnswer bounds an answer that is read whole, and one item of a stream.
const maxAnswer = 64 << 20

// Client asks the daemon that listens on one unix socket. It may be used by several goroutines at once.
//
// Errors: *api.Error always; Code CodeUnreachable when nobody answers, CodeDenied when the socket's mode keeps the
// caller out, else what the daemon said.
type Client struct {
	// Reconnect is how long a followed stream of events keeps trying to come back after the daemon went away.
	// Zero: not at all.
	Reconnect time.Duration
	// Patience is how long the daemon may take to give a sign of life before the first request; one that hangs would keep
	// the caller waiting for ever. Zero: it is not asked for one.
	Patience time.Duration

	socket string
	http   *http.Client
	alive  sync.Once
}

var (
	_ api.Control       = (*Client)(nil)
	_ api.Configuration = (*Client)(nil)
	_ api.StateKeeper   = (*Client)(nil)
)

// New returns a client of the daemon at the unix socket. It connects with the first request.
func New(socket string) *Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
	}}}
}

// Socket is the path of the socket.
func (c *Client) Socket() string { return c.socket }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health asks GET /health. An unhealthy daemon answers too: see Health.Status.
func (c *Client) Health(ctx context.Context) (h api.Health, err error) {
	resp, err := c.send(ctx, http.MethodGet, "/health", nil, "")
	if err != nil {
		return h, err
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return h, answerError(resp)
	}
	return h, readJSON(resp, &h)
}

// Status implements api.Control.
func (c *Client) Status(ctx context.Context) (s api.Status, err error) {
	return s, c.get(ctx, "/v1/status", &s)
}

// Deploy implements api.Control.
func (c *Client) Deploy(ctx context.Context, r api.DeployRequest) (d api.Deployment, err error) {
	return d, c.post(ctx, "/v1/deployments", r, &d)
}

// Deployments implements api.Control.
func (c *Client) Deployments(ctx context.Context, app string, limit int) (ds []api.Deployment, err error) {
	q := url.Values{"app": {app}, "limit": {strconv.Itoa(limit)}}
	return ds, c.get(ctx, "/v1/deployments?"+q.Encode(), &ds)
}

// Deployment implements api.Control.
func (c *Client) Deployment(ctx context.Context, id string) (d api.Deployment, err error) {
	return d, c.get(ctx, path("deployments", id), &d)
}

// AbortDeployment implements api.Control.
func (c *Client) AbortDeployment(ctx context.Context, id string) error {
	return c.post(ctx, path("deployments", id, "abort"), struct{}{}, nil)
}

// Start implements api.Control.
func (c *Client) Start(ctx context.Context, t api.Target) error { return c.act(ctx, t, "start") }

// Stop implements api.Control.
func (c *Client) Stop(ctx context.Context, t api.Target) error { return c.act(ctx, t, "stop") }

// Restart implements api.Control.
func (c *Client) Restart(ctx context.Context, t api.Target) error { return c.act(ctx, t, "restart") }

func (c *Client) act(ctx context.Context, t api.Target, verb string) error {
	if t.Instance == "" {
		return c.post(ctx, path("apps", t.App, verb), struct{}{}, nil)
	}
	return c.post(ctx, path("apps", t.App, "instances", t.Instance, verb), struct{}{}, nil)
}

// Scale implements api.Control.
func (c *Client) Scale(ctx context.Context, app string, replicas int) error {
	return c.post(ctx, path("apps", app, "scale"), web.ScaleRequest{Replicas: &replicas}, nil)
}

// Purge implements api.Control.
func (c *Client) Purge(ctx context.Context, app string) error {
	return c.post(ctx, path("apps", app, "purge"), struct{}{}, nil)
}

// ConfigDiff implements api.Configuration.
func (c *Client) ConfigDiff(ctx context.Context, r api.ConfigDiffRequest) (d api.ConfigDiff, err error) {
	return d, c.post(ctx, path("config", "diff"), r, &d)
}

// ConfigApply implements api.Configuration.
func (c *Client) ConfigApply(ctx context.Context, r api.ConfigApplyRequest) (a api.ConfigApplied, err error) {
	return a, c.post(ctx, path("config", "apply"), r, &a)
}

// Unclaimed implements api.Control.
func (c *Client) Unclaimed(ctx context.Context) (list []api.Unclaimed, err error) {
	return list, c.get(ctx, "/v1/unclaimed", &list)
}

// Adopt implements api.Control.
func (c *Client) Adopt(ctx context.Context, t api.Target) (list []api.Adopted, err error) {
	return list, c.post(ctx, "/v1/adopt", t, &list)
}

// BackupState implements api.StateKeeper.
func (c *Client) BackupState(ctx context.Context) (b api.StateBackup, err error) {
	return b, c.post(ctx, "/v1/state/backup", struct{}{}, &b)
}

// CheckState implements api.StateKeeper.
func (c *Client) CheckState(ctx context.Context) (r api.StateReport, err error) {
	return r, c.get(ctx, "/v1/state/check", &r)
}

// ExportState implements api.StateKeeper. The value is a json.RawMessage.
func (c *Client) ExportState(ctx context.Context) (any, error) {
	var raw json.RawMessage
	err := c.get(ctx, "/v1/state/export", &raw)
	return raw, err
}

// History implements api.Control.
func (c *Client) History(ctx context.Context, app string) (h []api.HistoryEntry, err error) {
	return h, c.get(ctx, path("apps", app, "history"), &h)
}

// Nodes implements api.Control.
func (c *Client) Nodes(ctx context.Context) (ns []api.NodeInfo, err error) {
	return ns, c.get(ctx, "/v1/nodes", &ns)
}

// RPC implements api.Control.
func (c *Client) RPC(ctx context.Context, r api.RPCRequest) (reply api.RPCReply, err error) {
	return reply, c.post(ctx, "/v1/rpc", r, &reply)
}

// path joins the elements, each escaped, behind /v1.
func path(elems ...string) string {
	p := "/v1"
	for _, e := range elems {
		p += "/" + url.PathEscape(e)
	}
	return p
}

func (c *Client) get(ctx context.Context, path string, v any) error {
	return c.roundTrip(ctx, http.MethodGet, path, nil, v)
}

func (c *Client) post(ctx context.Context, path string, body, v any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return api.Errorf(api.CodeUsage, "the request cannot be written as JSON: %v", err)
	}
	return c.roundTrip(ctx, http.MethodPost, path, b, v)
}

func (c *Client) roundTrip(ctx context.Context, method, path string, body []byte, v any) error {
	resp, err := c.send(ctx, method, path, body, "")
	if err != nil {
		return err
	}
	defer drain(resp)
	if resp.StatusCode/100 != 2 {
		return answerError(resp)
	}
	if v == nil {
		return nil
	}
	return readJSON(resp, v)
}

// send makes one request; lastEvent, when set, becomes Last-Event-ID.
func (c *Client) send(ctx context.Context, method, path string, body []byte, lastEvent string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return nil, api.Errorf(api.CodeUsage, "%v", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if who, _ := api.CallerFrom(ctx); who.Node != "" {
		req.Header.Set(web.ForNode, who.Node)
	}
	if lastEvent != "" {
		req.Header.Set("Last-Event-ID", lastEvent)
	}
	if err := c.signOfLife(ctx); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.sendError(ctx, err)
	}
	return resp, nil
}

// signOfLife asks the daemon for one, once.
func (c *Client) signOfLife(ctx context.Context) (hung error) {
	if c.Patience <= 0 {
		return nil
	}
	c.alive.Do(func() {
		ask, cancel := context.WithTimeout(ctx, c.Patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ask, http.MethodGet, "http://localhost/health", nil)
		if err != nil {
			return
		}
		resp, err := c.http.Do(req)
		switch {
		case err == nil:
			drain(resp)
		case errors.Is(ask.Err(), context.DeadlineExceeded) && ctx.Err() == nil:
			hung = c.hung(ask.Err())
		} // any other error comes again with the request
	})
	return hung
}

// hung is the error of a daemon that has its socket and does not answer.
func (c *Client) hung(err error) error {
	e := c.unreachable(err, fmt.Sprintf("it does not answer within %s", c.Patience))
	e.Hint = "it hangs; restart it, the instances run on"
	if pid := listenerOSPID(c.socket); pid > 1 {
		e.Message += fmt.Sprintf(" (OS pid %d)", pid)
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			if rest := string(b[bytes.LastIndexByte(b, ')')+1:]); strings.HasPrefix(rest, " T") || strings.HasPrefix(rest, " t") {
				e.Hint = fmt.Sprintf("it was halted by a signal or a debugger; kill -CONT %d lets it go on", pid)
			}
		}
	}
	return e
}

// listenerOSPID is the OS pid of who made a unix socket, as the kernel has it (1: the service manager did); 0 when that
// is not known.
func listenerOSPID(socket string) int {
	conn, err := net.DialTimeout("unix", socket, dialTimeout)
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) { // fails only when closed
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

func (c *Client) sendError(ctx context.Context, err error) error {
	var uerr *url.Error
	if errors.As(err, &uerr) {
		err = uerr.Err // without the made-up URL
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &api.Error{Code: api.CodeTimeout, Message: "the daemon did not answer in time", Err: ctx.Err()}
	case ctx.Err() != nil:
		return &api.Error{Code: api.CodeFailed, Message: "interrupted", Err: ctx.Err()}
	case errors.Is(err, fs.ErrPermission):
		return &api.Error{Code: api.CodeDenied, Err: err, Message: fmt.Sprintf("no permission to use the socket %s", c.socket),
			Hint: "run the command as the daemon's user, or as a member of the socket's group"}
	case errors.Is(err, fs.ErrNotExist):
		return c.unreachable(err, "there is no socket")
	case errors.Is(err, syscall.ECONNREFUSED):
		return c.unreachable(err, "nobody listens there: the daemon was killed")
	}
	return c.unreachable(err, err.Error())
}

func (c *Client) unreachable(err error, why string) *api.Error {
	return &api.Error{
		Code: api.CodeUnreachable, Err: err,
		Message: fmt.Sprintf("the daemon cannot be reached at %s: %s", c.socket, why),
		Hint:    `start it with "beamkeeper run", or name its socket with --socket or $BEAMKEEPER_SOCKET, or its configuration with --config`,
	}
}

// answerError reads the error that the daemon answered.
func answerError(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what was read is all there is to tell
	e := &api.Error{}
	if json.Unmarshal(b, e) != nil || e.Code == "" {
		return api.Errorf(api.CodeFailed, "the daemon answered %s: %.200q", resp.Status, b)
	}
	return e
}

func readJSON(resp *http.Response, v any) error {
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(v); err != nil {
		return api.Errorf(api.CodeFailed, "the daemon's answer cannot be read: %v", err)
	}
	return nil
}

// drain lets the connection be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // a longer rest costs the connection, no more
	_ = resp.Body.Close()
}
