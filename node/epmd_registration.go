package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Registration is tried again after 50 ms, doubling to 5 s. A name that is taken is tried again too: EPMD may not
// have seen yet that the former holder's connection is gone.
const (
	registerFirstRetry = 50 * time.Millisecond
	registerLastRetry  = 5 * time.Second
)

// registration keeps the node registered with the EPMD of its host: it holds the connection open, and registers
// anew when the EPMD ends and comes back.
type registration struct {
	addr string
	req  alive2Req
	log  *slog.Logger

	mu      sync.Mutex
	ok      bool
	err     error         // why it is not registered
	changed chan struct{} // closed and replaced when ok or err change
}

func newRegistration(addr string, req alive2Req, log *slog.Logger) *registration {
	return &registration{addr: addr, req: req, log: log, changed: make(chan struct{})}
}

// run registers again and again until ctx ends.
func (r *registration) run(ctx context.Context) {
	retry := registerFirstRetry
	lost := ""
	for {
		began := time.Now()
		err := r.hold(ctx)
		if ctx.Err() != nil {
			r.set(false, ErrClosed)
			return
		}
		if time.Since(began) > registerLastRetry {
			retry = registerFirstRetry
		}
		r.set(false, &EPMDError{Addr: r.addr, Name: r.req.name, Err: err})
		if text := err.Error(); text != lost { // once for each reason, not for each attempt
			r.log.Warn("not registered with epmd", "epmd", r.addr, "name", r.req.name, "err", err)
			lost = text
		}
		select {
		case <-ctx.Done():
			r.set(false, ErrClosed)
			return
		case <-time.After(retry):
		}
		retry = min(2*retry, registerLastRetry)
	}
}

// hold registers and returns when the registration is lost.
func (r *registration) hold(ctx context.Context) error {
	dialCtx, cancel := context.WithTimeout(ctx, epmdTimeout)
	defer cancel()
	conn, err := dialEPMD(dialCtx, r.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(epmdTimeout))
	if _, err := conn.Write(r.req.append(nil)); err != nil {
		return err
	}
	if _, err := readAlive2Resp(conn); err != nil {
		return err
	}
	conn.SetDeadline(time.Time{})
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetKeepAlive(true) // an EPMD that vanished without a word is noticed at last
	}
	r.set(true, nil)
	r.log.Info("registered with epmd", "epmd", r.addr, "name", r.req.name)
	// EPMD sends nothing more; the read ends when it does.
	switch n, err := io.Copy(io.Discard, io.LimitReader(conn, 1)); {
	case n > 0:
		return errors.New("unexpected data")
	case err != nil:
		return fmt.Errorf("connection lost: %w", err)
	}
	return errors.New("connection lost")
}

func (r *registration) set(ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok, r.err = ok, err
	close(r.changed)
	r.changed = make(chan struct{})
}

// wait waits until the node is registered.
func (r *registration) wait(ctx context.Context) error {
	for {
		r.mu.Lock()
		ok, err, changed := r.ok, r.err, r.changed
		r.mu.Unlock()
		if ok {
			return nil
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err != nil {
				return err
			}
			return ctx.Err()
		}
	}
}
