package web

import (
	"net/http"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// maxPlanBytes bounds a request that has with it what is in a release: some 200 bytes for each of its modules.
const maxPlanBytes = 32 << 20

func (s *Server) plan(w http.ResponseWriter, r *http.Request) (any, error) {
	var req api.PlanRequest
	if err := decodeUpTo(w, r, maxPlanBytes, &req); err != nil {
		return nil, err
	}
	allowLong(w)
	req.App = r.PathValue("app")
	if req.Kind != "" && req.Kind != api.KindHot && req.Kind != api.KindFull {
		return nil, api.Errorf(api.CodeUsage, "a deployment of the kind %.64q cannot be asked for, only %s or %s", req.Kind, api.KindHot, api.KindFull)
	}
	if req.Version != "" && req.File != nil {
		return nil, api.Errorf(api.CodeUsage, "a plan is about a version or a file, not about both")
	}
	return s.control.Plan(r.Context(), req)
}
