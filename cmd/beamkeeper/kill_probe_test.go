package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

const probeEvery = 10 * time.Millisecond

// visitor sends a request every 10 ms, over a connection that it holds as long as it can. When that breaks it goes to
// whichever of the ports answers, as behind a load balancer. That none does is an outage.
type visitor struct {
	ports []int
	alone bool // one port, one connection: that it breaks is an outage

	quit chan struct{}
	done chan struct{}

	mu       sync.Mutex
	requests int
	outages  []string
}

func visit(t *testing.T, alone bool, ports ...int) *visitor {
	v := &visitor{ports: ports, alone: alone, quit: make(chan struct{}), done: make(chan struct{})}
	go v.run()
	t.Cleanup(func() { v.leave() })
	return v
}

// leave ends it and returns its outages.
func (v *visitor) leave() (requests int, outages []string) {
	v.mu.Lock()
	select {
	case <-v.quit:
	default:
		close(v.quit)
	}
	v.mu.Unlock()
	<-v.done
	return v.requests, v.outages
}

// since returns the outages that it has had, and forgets them.
func (v *visitor) since() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := v.outages
	v.outages = nil
	return list
}

func (v *visitor) run() {
	defer close(v.done)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var held *kept
	defer func() { held.close() }()
	for {
		select {
		case <-v.quit:
			return
		case <-tick.C:
		}
		err := held.ask()
		first := held == nil
		if err != nil {
			held.close()
			var all error
			if held, all = v.connect(); all != nil || v.alone && !first {
				v.mu.Lock()
				v.outages = append(v.outages, fmt.Sprintf("%s: held: %v; any: %v", time.Now().Format("15:04:05.000"), err, all))
				v.mu.Unlock()
			}
		}
		v.mu.Lock()
		v.requests++
		v.mu.Unlock()
	}
}

// connect tries all ports twice: one may open while another that was tried before it closes.
func (v *visitor) connect() (*kept, error) {
	var errs []error
	for range 2 {
		for _, port := range v.ports {
			k := &kept{port: port}
			if k.c, k.err = net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 10*time.Second); k.err == nil {
				k.r = bufio.NewReader(k.c)
				if k.err = k.ask(); k.err == nil {
					return k, nil
				}
				k.close()
			}
			errs = append(errs, k.err)
		}
	}
	return nil, fmt.Errorf("%v", errs)
}

// kept is a connection that is held.
type kept struct {
	port int
	c    net.Conn
	r    *bufio.Reader
	err  error
}

func (k *kept) ask() error {
	if k == nil {
		return io.EOF
	}
	_ = k.c.SetDeadline(time.Now().Add(20 * time.Second)) // a loaded machine is no outage
	if _, err := io.WriteString(k.c, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(k.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("port %d: %s", k.port, resp.Status)
	}
	return nil
}

func (k *kept) close() {
	if k != nil && k.c != nil {
		_ = k.c.Close() // it is given up
	}
}
