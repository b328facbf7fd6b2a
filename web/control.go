package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// healthTimeout is how long the tree may take to answer before GET /health says so.
const healthTimeout = 2 * time.Second

// maxRPCTimeout bounds RPCRequest.TimeoutMS, as one caller may wait.
const maxRPCTimeout = time.Hour

// health asks the tree itself, so that a daemon that serves HTTP and does nothing else is not healthy.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	h, status := api.Health{Status: "ok", Timestamp: api.Time{Time: time.Now()}}, http.StatusOK
	if _, err := s.control.Status(ctx); err != nil {
		h.Status, status = "unavailable", http.StatusServiceUnavailable
	}
	respond(w, status, h)
}

func (s *Server) status(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.control.Status(r.Context())
}

func (s *Server) nodes(_ http.ResponseWriter, r *http.Request) (any, error) {
	nodes, err := s.control.Nodes(r.Context())
	return listOf(nodes), err
}

func (s *Server) history(_ http.ResponseWriter, r *http.Request) (any, error) {
	entries, err := s.control.History(r.Context(), r.PathValue("app"))
	return listOf(entries), err
}

func (s *Server) deployments(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit := 0
	if v := r.FormValue("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return nil, badQuery("limit", v, "a number")
		}
		limit = n
	}
	ds, err := s.control.Deployments(r.Context(), r.FormValue("app"), limit)
	return listOf(ds), err
}

func (s *Server) deployment(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.control.Deployment(r.Context(), r.PathValue("id"))
}

func (s *Server) deploy(w http.ResponseWriter, r *http.Request) (any, error) {
	var req api.DeployRequest
	if err := decodeWhole(w, r, &req); err != nil {
		return nil, err
	}
	if req.App == "" {
		return nil, api.Errorf(api.CodeUsage, "the request names no app")
	}
	if req.Kind != "" && req.Kind != api.KindHot && req.Kind != api.KindFull {
		return nil, api.Errorf(api.CodeUsage, "a deployment of the kind %.64q cannot be asked for, only %s or %s", req.Kind, api.KindHot, api.KindFull)
	}
	return s.control.Deploy(r.Context(), req)
}

func (s *Server) abort(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := decodeWhole(w, r, &struct{}{}); err != nil {
		return nil, err
	}
	return nil, s.control.AbortDeployment(r.Context(), r.PathValue("id"))
}

type targetFunc func(context.Context, api.Target) error

func onTarget(do targetFunc) action {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if err := decodeWhole(w, r, &struct{}{}); err != nil {
			return nil, err
		}
		return nil, do(r.Context(), api.Target{App: r.PathValue("app"), Instance: r.PathValue("instance")})
	}
}

// ScaleRequest is the body of POST /v1/apps/{app}/scale.
type ScaleRequest struct {
	Replicas *int `json:"replicas"`
}

func (s *Server) scale(w http.ResponseWriter, r *http.Request) (any, error) {
	var req ScaleRequest
	if err := decodeWhole(w, r, &req); err != nil {
		return nil, err
	}
	if req.Replicas == nil || *req.Replicas < 0 || *req.Replicas > api.MaxReplicas {
		return nil, api.Errorf(api.CodeUsage, `the request needs "replicas", a number from 0 to %d`, api.MaxReplicas)
	}
	return nil, s.control.Scale(r.Context(), r.PathValue("app"), *req.Replicas)
}

func (s *Server) purge(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := decodeWhole(w, r, &struct{}{}); err != nil {
		return nil, err
	}
	return nil, s.control.Purge(r.Context(), r.PathValue("app"))
}

func (s *Server) unclaimed(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.control.Unclaimed(r.Context())
}

func (s *Server) adopt(w http.ResponseWriter, r *http.Request) (any, error) {
	var t api.Target
	if err := decodeWhole(w, r, &t); err != nil {
		return nil, err
	}
	return s.control.Adopt(r.Context(), t)
}

func (s *Server) rpc(w http.ResponseWriter, r *http.Request) (any, error) {
	var req api.RPCRequest
	if err := decodeWhole(w, r, &req); err != nil {
		return nil, err
	}
	if req.App == "" || req.Call == "" {
		return nil, api.Errorf(api.CodeUsage, `the request needs "app" and "call"`)
	}
	if req.TimeoutMS < 0 || req.TimeoutMS > maxRPCTimeout.Milliseconds() {
		return nil, api.Errorf(api.CodeUsage, "timeout_ms is not between 0 and %d", maxRPCTimeout.Milliseconds())
	}
	return s.control.RPC(r.Context(), req)
}

// decodeWhole is decode, and then lets the action take its time.
func decodeWhole(w http.ResponseWriter, r *http.Request, v any) error {
	err := decode(w, r, v)
	allowLong(w)
	return err
}

// listOf makes an absent list an empty one, which JSON shows as [].
func listOf[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
