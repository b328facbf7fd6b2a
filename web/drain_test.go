package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// Who was accepted before the end gets an answer, also when the request comes after it.
func TestClose_AnswersWhatWasAccepted(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{log: slog.New(slog.DiscardHandler), stopping: make(chan struct{})}
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }))
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var one *serving
	await(t, func() bool {
		s.mu.Lock()
		if len(s.servers) == 1 {
			one = s.servers[0]
		}
		s.mu.Unlock()
		return one != nil && !one.traffic.quiet()
	})
	closed := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { closed <- s.Close(ctx) }()
	await(t, func() bool {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "x" || err != nil || !resp.Close {
		t.Errorf("%q, %v, close %v", b, err, resp.Close)
	}
	if err := errors.Join(<-closed, <-served); err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}
