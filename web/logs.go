package web

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// maxGrepBytes bounds the regular expression of a log request.
const maxGrepBytes = 1024

// logs streams log lines, one JSON object per line. An empty line is a sign of life.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	req, err := logQuery(r)
	if err != nil {
		respondError(w, err)
		return
	}
	st := &stream{contentType: typeNDJSON, alive: []byte("\n")}
	s.run(st, w, r, func(ctx context.Context) error {
		return s.control.Logs(ctx, req, func(l api.LogLine) bool {
			b, _ := json.Marshal(l) // strings only: cannot fail
			return ctx.Err() == nil && st.write(append(b, '\n'))
		})
	})
}

// logQuery reads a log request from its parameters: those of api.LogRequest, times as RFC 3339, from as
// INSTANCE/STREAM:END as often as needed with resume=true. since_ms counts back from now.
func logQuery(r *http.Request) (api.LogRequest, error) {
	req := api.LogRequest{
		Target: api.Target{App: r.FormValue("app"), Instance: r.FormValue("instance")},
		Stream: r.FormValue("stream"), Level: r.FormValue("level"), Grep: r.FormValue("grep"),
	}
	if req.App == "" {
		return req, api.Errorf(api.CodeUsage, "the request names no app")
	}
	if req.Stream != "" && req.Stream != "stdout" && req.Stream != "stderr" {
		return req, badQuery("stream", req.Stream, "stdout or stderr")
	}
	if len(req.Grep) > maxGrepBytes {
		return req, api.Errorf(api.CodeUsage, "grep is longer than %d bytes", maxGrepBytes)
	}
	if _, err := regexp.Compile(req.Grep); err != nil {
		return req, badQuery("grep", req.Grep, "a regular expression: "+err.Error())
	}
	if v := r.FormValue("lines"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return req, badQuery("lines", v, "a number")
		}
		req.Lines = n
	}
	if v := r.FormValue("since_ms"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 || n > int64(100*365*24*time.Hour/time.Millisecond) {
			return req, badQuery("since_ms", v, "milliseconds")
		}
		if n > 0 {
			req.Since.Time = time.Now().Add(-time.Duration(n) * time.Millisecond)
		}
	}
	for key, t := range map[string]*api.Time{"since": &req.Since, "until": &req.Until} {
		if v := r.FormValue(key); v != "" {
			at, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				return req, badQuery(key, v, "a time like 2026-11-20T18:15:00Z")
			}
			t.Time = at
		}
	}
	for key, b := range map[string]*bool{"follow": &req.Follow, "invert": &req.Invert, "all": &req.All} {
		var err error
		if *b, err = queryBool(r, key); err != nil {
			return req, err
		}
	}
	resume, err := queryBool(r, "resume")
	if err != nil || !resume {
		return req, err
	}
	req.From = make(map[string]int64)
	for _, v := range r.Form["from"] {
		file, end, _ := strings.Cut(v, ":")
		n, err := strconv.ParseInt(end, 10, 64)
		if err != nil || n < 0 {
			return req, badQuery("from", v, "INSTANCE/STREAM:END")
		}
		req.From[file] = n
	}
	return req, nil
}
