// Command steadyclient asks servers again and again until it gets SIGTERM, and then says, in JSON, how that went.
//
//	steadyclient NAME=KIND:TARGET[@MS]...
//
// KIND is http (TARGET a URL; a connection for each request), held (the same over one connection), unix (GET /health over a
// unix socket) or dist (HOST:PORT, the first two messages of the distribution's handshake). Each is asked every MS
// milliseconds, 10 unless told otherwise, by one request at a time. "up" is printed once all have answered.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const patience = 20 * time.Second // for one answer

type result struct {
	Asked    int      `json:"asked"`
	Refused  int      `json:"refused"` // no connection could be made
	Broken   int      `json:"broken"`  // a connection without an answer
	LongestM int64    `json:"longest_ms"`
	Errors   []string `json:"errors,omitempty"`
}

var errRefused = errors.New("refused")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	results := make(map[string]*result)
	var all, first sync.WaitGroup
	for _, arg := range os.Args[1:] {
		name, rest, _ := strings.Cut(arg, "=")
		kind, target, ok := strings.Cut(rest, ":")
		every := 10
		if at := strings.LastIndex(target, "@"); at >= 0 {
			var err error
			if every, err = strconv.Atoi(target[at+1:]); err != nil {
				ok = false
			}
			target = target[:at]
		}
		ask := asker(kind, target)
		if !ok || ask == nil {
			fmt.Fprintf(os.Stderr, "bad argument %q\n", arg)
			os.Exit(2)
		}
		r := &result{}
		results[name] = r
		first.Add(1)
		all.Go(func() { r.run(ctx, ask, time.Duration(every)*time.Millisecond, first.Done) })
	}
	first.Wait()
	fmt.Println("up")
	all.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		os.Exit(1)
	}
}

func (r *result) run(ctx context.Context, ask func() error, every time.Duration, answered func()) {
	once := sync.OnceFunc(answered)
	defer once()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		begun := time.Now()
		err := ask()
		r.Asked++
		r.LongestM = max(r.LongestM, time.Since(begun).Milliseconds())
		switch {
		case err == nil:
			once()
		case errors.Is(err, errRefused):
			r.Refused++
		default:
			r.Broken++
		}
		if err != nil && len(r.Errors) < 20 {
			r.Errors = append(r.Errors, fmt.Sprintf("%s after %s: %v", begun.Format("05.000"), time.Since(begun).Round(time.Millisecond), err))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func asker(kind, target string) func() error {
	switch kind {
	case "http", "held":
		var d net.Dialer
		c := &http.Client{Timeout: patience, Transport: &http.Transport{
			DisableKeepAlives: kind == "http", MaxConnsPerHost: 1,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := d.DialContext(ctx, network, addr)
				if err != nil {
					err = fmt.Errorf("%w: %v", errRefused, err)
				}
				return conn, err
			},
		}}
		return func() error { return get(c, target) }
	case "unix":
		c := &http.Client{Timeout: patience, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				conn, err := net.Dial("unix", target)
				if err != nil {
					err = fmt.Errorf("%w: %v", errRefused, err)
				}
				return conn, err
			},
		}}
		return func() error { return get(c, "http://localhost/health") }
	case "dist":
		return func() error { return greet(target) }
	}
	return nil
}

func get(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// greet sends the name of a node and waits for the status, whatever it is.
func greet(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w: %v", errRefused, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	name := "stranger@testbed"
	m := []byte{'N'}
	m = binary.BigEndian.AppendUint64(m, 0x7df7fbd|1<<34|1<<35) // as OTP 27
	m = binary.BigEndian.AppendUint32(m, 7)
	m = binary.BigEndian.AppendUint16(m, uint16(len(name)))
	m = append(m, name...)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)); err != nil {
		return err
	}
	head := make([]byte, 3)
	if _, err := io.ReadFull(bufio.NewReader(conn), head); err != nil {
		return err
	}
	if head[2] != 's' {
		return fmt.Errorf("answered %q", head)
	}
	return nil
}
