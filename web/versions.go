package web

import (
	"context"
	"net/http"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (s *Server) ghosts(_ http.ResponseWriter, r *http.Request) (any, error) {
	list, err := s.control.Ghosts(r.Context(), r.PathValue("app"))
	return listOf(list), err
}

// ClearRequest is the body of POST /v1/apps/{app}/ghosts/clear. An empty Version stands for all.
type ClearRequest struct {
	Version string `json:"version,omitempty"`
}

func (s *Server) clearGhosts(w http.ResponseWriter, r *http.Request) (any, error) {
	var req ClearRequest
	if err := decodeWhole(w, r, &req); err != nil {
		return nil, err
	}
	list, err := s.control.ClearGhosts(r.Context(), r.PathValue("app"), req.Version)
	return listOf(list), err
}

// onVersion makes the action of a verb that moves an app to a version.
func onVersion(do func(context.Context, string, api.VersionRequest) (api.Deployment, error)) action {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		var req api.VersionRequest
		if err := decodeWhole(w, r, &req); err != nil {
			return nil, err
		}
		return do(r.Context(), r.PathValue("app"), req)
	}
}

// onApp makes the action of a verb that says something about an app.
func onApp(do func(context.Context, string) error) action {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if err := decodeWhole(w, r, &struct{}{}); err != nil {
			return nil, err
		}
		return nil, do(r.Context(), r.PathValue("app"))
	}
}
