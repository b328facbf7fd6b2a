package web

import (
	"net/http"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (s *Server) configDiff(w http.ResponseWriter, r *http.Request) (any, error) {
	var req api.ConfigDiffRequest
	if err := s.configRequest(w, r, &req); err != nil {
		return nil, err
	}
	return s.configuration.ConfigDiff(r.Context(), req)
}

func (s *Server) configApply(w http.ResponseWriter, r *http.Request) (any, error) {
	var req api.ConfigApplyRequest
	if err := s.configRequest(w, r, &req); err != nil {
		return nil, err
	}
	return s.configuration.ConfigApply(r.Context(), req)
}

func (s *Server) configRequest(w http.ResponseWriter, r *http.Request, v any) error {
	if s.configuration == nil {
		return api.Errorf(api.CodeRefused, "this daemon has no configuration file")
	}
	return decodeWhole(w, r, v)
}
