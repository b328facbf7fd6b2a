package web

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
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

func logQuery(r *http.Request) (api.LogRequest, error) {
	req := api.LogRequest{
		Target: api.Target{App: r.FormValue("app"), Instance: r.FormValue("instance")},
		Stream: r.FormValue("stream"),
		Grep:   r.FormValue("grep"),
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
		req.Since = time.Duration(n) * time.Millisecond
	}
	var err error
	req.Follow, err = queryBool(r, "follow")
	return req, err
}
