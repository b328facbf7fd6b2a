package web

import "net/http"

// CommitRequest is the body of POST /v1/deployments/{id}/commit.
type CommitRequest struct {
	KillLingering bool `json:"kill_lingering,omitempty"` // processes that still run old code are ended
}

func (s *Server) commit(w http.ResponseWriter, r *http.Request) (any, error) {
	var req CommitRequest
	if err := decodeWhole(w, r, &req); err != nil {
		return nil, err
	}
	return s.control.CommitDeployment(r.Context(), r.PathValue("id"), req.KillLingering)
}

func (s *Server) revert(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := decodeWhole(w, r, &struct{}{}); err != nil {
		return nil, err
	}
	return s.control.RevertDeployment(r.Context(), r.PathValue("id"))
}
