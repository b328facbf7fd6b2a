package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/web"
)

// Connections that ask nothing, or a request byte by byte, keep nobody out; and those being answered are not closed for new ones.
func TestServer_CrowdOfConnections(t *testing.T) {
	t.Parallel()
	const maxConns = 256
	s := web.New(newFake(), web.Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln, s.ReadOnly()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Close(ctx) // streams of the test are cut off
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	stream := dial()
	fmt.Fprintf(stream, "GET /v1/events?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
	head := bufio.NewReader(stream)
	if line, err := head.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("stream: %q, %v", line, err)
	}
	closed := make(chan struct{}, 3*maxConns)
	for i := range 3 * maxConns {
		c := dial()
		switch i % 3 {
		case 1:
			io.WriteString(c, "G")
		case 2:
			io.WriteString(c, "GET /health HTTP/1.1\r\nHost: local")
		}
		go func() {
			io.Copy(io.Discard, c)
			closed <- struct{}{}
		}()
	}
	for i := range 2*maxConns + 1 {
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d connections are closed of %d", i, 3*maxConns)
		}
	}
	for range 5 {
		resp, err := http.Get("http://" + ln.Addr().String() + "/health")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	stream.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := head.ReadByte(); err == nil {
		for err == nil {
			_, err = head.ReadByte()
		}
	} else if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
		t.Errorf("the stream was closed: %v", err)
	}
}
