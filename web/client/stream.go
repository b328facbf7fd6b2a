package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// errStopped says that yield asked for no more.
var errStopped = errors.New("client: stopped by the caller")

// Events implements api.Control. With follow and Reconnect, it comes back after the daemon was away and goes on with
// the event after the last one it gave to yield.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	last, away := since, time.Time{}
	for {
		up := func() { away = time.Time{} }
		err := c.readEvents(ctx, since, last, follow, up, func(e api.Event) bool {
			last = e.ID
			return yield(e)
		})
		if errors.Is(err, errStopped) || ctx.Err() != nil && follow {
			return nil
		}
		if !follow || c.Reconnect == 0 || !cameAway(err) {
			return err
		}
		if away.IsZero() {
			away = time.Now()
		} else if time.Since(away) > c.Reconnect {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// cameAway reports whether err means that the daemon, not the request, is at fault, so that asking again makes sense.
func cameAway(err error) bool {
	var e *api.Error
	return err == nil || errors.As(err, &e) && e.Code == api.CodeUnreachable
}

// readEvents reads one stream, after calling up once it is open. It returns nil when the daemon ended it.
func (c *Client) readEvents(ctx context.Context, since, last uint64, follow bool, up func(), yield func(api.Event) bool) error {
	q := url.Values{"since": {strconv.FormatUint(since, 10)}, "follow": {strconv.FormatBool(follow)}}
	lastID := ""
	if last > since {
		lastID = strconv.FormatUint(last, 10)
	}
	resp, err := c.stream(ctx, "/v1/events?"+q.Encode(), lastID)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	up()
	var name, data []byte
	return c.lines(ctx, resp.Body, func(line []byte) error {
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0:
			defer func() { name, data = nil, nil }()
			return dispatch(name, data, yield)
		case string(field) == "event":
			name = bytes.Clone(value)
		case string(field) == "data":
			data = append(data, value...)
		}
		return nil
	})
}

func dispatch(name, data []byte, yield func(api.Event) bool) error {
	if data == nil {
		return nil
	}
	if string(name) == "failure" {
		return streamError(data)
	}
	var e api.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return api.Errorf(api.CodeFailed, "the daemon sent an event that cannot be read: %v", err)
	}
	if !yield(e) {
		return errStopped
	}
	return nil
}

// Logs implements api.Control. With Follow and Reconnect, it comes back after a daemon that answered once was away, and goes
// on behind the last line of each file that it gave to yield.
func (c *Client) Logs(ctx context.Context, r api.LogRequest, yield func(api.LogLine) bool) error {
	seen := r.From
	away, found := time.Time{}, false
	for {
		up := func() { away, found = time.Time{}, true }
		err := c.readLogs(ctx, r, up, func(l api.LogLine) bool {
			if r.Follow && c.Reconnect > 0 {
				if seen == nil {
					seen = make(map[string]int64)
				}
				seen[l.Instance+"/"+l.Stream] = l.End
			}
			return yield(l)
		})
		if errors.Is(err, errStopped) || r.Follow && ctx.Err() != nil {
			return nil
		}
		if !r.Follow || c.Reconnect == 0 || !found || !cameAway(err) {
			return err
		}
		if away.IsZero() {
			away = time.Now()
		} else if time.Since(away) > c.Reconnect {
			return err
		}
		if seen == nil {
			seen = make(map[string]int64)
		}
		r.From = seen
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// readLogs reads one stream, after calling up once it is open. It returns nil when it has ended.
func (c *Client) readLogs(ctx context.Context, r api.LogRequest, up func(), yield func(api.LogLine) bool) error {
	q := url.Values{
		"app": {r.App}, "instance": {r.Instance}, "stream": {r.Stream}, "level": {r.Level}, "grep": {r.Grep}, "lines": {strconv.Itoa(r.Lines)},
		"follow": {strconv.FormatBool(r.Follow)}, "invert": {strconv.FormatBool(r.Invert)}, "all": {strconv.FormatBool(r.All)},
	}
	for key, t := range map[string]api.Time{"since": r.Since, "until": r.Until} {
		if !t.IsZero() {
			q.Set(key, t.UTC().Format(time.RFC3339Nano))
		}
	}
	if r.From != nil {
		q.Set("resume", "true")
		for file, end := range r.From {
			q.Add("from", file+":"+strconv.FormatInt(end, 10))
		}
	}
	resp, err := c.stream(ctx, "/v1/logs?"+q.Encode(), "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	up()
	return c.lines(ctx, resp.Body, func(line []byte) error {
		if len(line) == 0 {
			return nil
		}
		var item struct {
			api.LogLine
			Error json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal(line, &item); err != nil {
			return api.Errorf(api.CodeFailed, "the daemon sent a log line that cannot be read: %v", err)
		}
		if item.Error != nil {
			return streamError(item.Error)
		}
		if !yield(item.LogLine) {
			return errStopped
		}
		return nil
	})
}

func (c *Client) stream(ctx context.Context, path, lastEvent string) (*http.Response, error) {
	resp, err := c.send(ctx, http.MethodGet, path, nil, lastEvent)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer drain(resp)
		return nil, answerError(resp)
	}
	return resp, nil
}

// lines calls each for every line of r, without its end, until the end of r or an error.
func (c *Client) lines(ctx context.Context, r io.Reader, each func([]byte) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 64<<10), maxAnswer)
	for sc.Scan() {
		if err := each(sc.Bytes()); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return c.sendError(ctx, err)
	}
	return nil
}

func streamError(b []byte) error {
	e := &api.Error{}
	if err := json.Unmarshal(b, e); err != nil || e.Code == "" {
		return api.Errorf(api.CodeFailed, "the daemon broke off: %.200q", b)
	}
	return e
}
