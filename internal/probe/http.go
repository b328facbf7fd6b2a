package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// HTTP passes when GET URL answers 2xx or 3xx. Redirects are not followed, no proxy is asked, and the certificate of an
// https server on this machine is not checked.
type HTTP struct {
	URL     string
	Timeout time.Duration // 0: DefaultTimeout
}

func (p HTTP) String() string { return "http " + p.URL }

// Probe implements Probe.
func (p HTTP) Probe(ctx context.Context) error { return limited(ctx, p.Timeout, p.get) }

func (p HTTP) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "beamkeeper-probe")
	transport := &http.Transport{
		DisableKeepAlives: true, // each attempt shows that a connection is accepted
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: loopback(req.URL.Hostname())},
	}
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which String shows
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what there is of it
	if len(body) == 0 {
		return fmt.Errorf("status %s", resp.Status)
	}
	return fmt.Errorf("status %s: %s", resp.Status, excerpt(string(body), 200))
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
