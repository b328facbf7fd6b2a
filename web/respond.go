package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// statusOf gives the HTTP status that belongs to each code of api.Error.
var statusOf = map[api.Code]int{
	api.CodeFailed:      http.StatusInternalServerError,
	api.CodeUsage:       http.StatusBadRequest,
	api.CodeNotFound:    http.StatusNotFound,
	api.CodeDenied:      http.StatusForbidden,
	api.CodeUnreachable: http.StatusBadGateway,
	api.CodeRefused:     http.StatusConflict,
	api.CodeTimeout:     http.StatusGatewayTimeout,
}

// asError turns any error into one for people. What was not meant for them becomes a plain failure.
func asError(err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &api.Error{Code: api.CodeTimeout, Message: "the daemon did not finish in time", Err: err}
	}
	return &api.Error{Code: api.CodeFailed, Message: err.Error(), Err: err}
}

func respond(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"code":"failed","message":"the answer could not be written as JSON"}`)
	}
	// A slow action may have used up the server's write timeout; the writing starts now. Recorders in tests have none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the caller has gone: nobody to tell
}

func respondError(w http.ResponseWriter, err error) {
	e := asError(err)
	status, ok := statusOf[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	respond(w, status, e)
}

// decode reads the request's body, one JSON object of known keys, into v. An empty body leaves v as it is.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	return decodeUpTo(w, r, maxBodyBytes, v)
}

func decodeUpTo(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return api.Errorf(api.CodeUsage, "the request is larger than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return api.Errorf(api.CodeUsage, "the request is not the JSON expected: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return api.Errorf(api.CodeUsage, "the request has more than one JSON value")
	}
	return nil
}

func badQuery(key, value, want string) error {
	return api.Errorf(api.CodeUsage, "%s=%s: want %s", key, fmt.Sprintf("%.64q", value), want)
}
