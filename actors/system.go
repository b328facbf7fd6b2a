package actors

import (
	"context"
	"errors"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// System is the running supervision tree. It satisfies api.Control; its methods may be called from any goroutine.
type System struct {
	cfg Config
}

var _ api.Control = (*System)(nil)

// Start brings the tree up. It takes over the instances of an earlier daemon that still run, starts again those that
// died, and goes on with a deployment that was under way. It returns once the tree runs, without waiting for instances.
func Start(ctx context.Context, cfg Config) (*System, error) { return nil, errNotYet }

// Close takes the tree down and waits for everything it started.
//
// Without stopInstances the instances run on, and the next daemon takes them over. With it they are stopped first, as
// `stop` does it, within ctx; a later Start starts them again.
func (s *System) Close(ctx context.Context, stopInstances bool) error { return errNotYet }

var errNotYet = errors.New("actors: not there yet")

func (s *System) Status(ctx context.Context) (api.Status, error) { return api.Status{}, errNotYet }

func (s *System) Deploy(ctx context.Context, r api.DeployRequest) (api.Deployment, error) {
	return api.Deployment{}, errNotYet
}

func (s *System) Deployments(ctx context.Context, app string, limit int) ([]api.Deployment, error) {
	return nil, errNotYet
}

func (s *System) Deployment(ctx context.Context, id string) (api.Deployment, error) {
	return api.Deployment{}, errNotYet
}

func (s *System) AbortDeployment(ctx context.Context, id string) error { return errNotYet }

func (s *System) Start(ctx context.Context, t api.Target) error { return errNotYet }

func (s *System) Stop(ctx context.Context, t api.Target) error { return errNotYet }

func (s *System) Restart(ctx context.Context, t api.Target) error { return errNotYet }

func (s *System) Scale(ctx context.Context, app string, replicas int) error { return errNotYet }

func (s *System) History(ctx context.Context, app string) ([]api.HistoryEntry, error) {
	return nil, errNotYet
}

func (s *System) Nodes(ctx context.Context) ([]api.NodeInfo, error) { return nil, errNotYet }

func (s *System) RPC(ctx context.Context, r api.RPCRequest) (api.RPCReply, error) {
	return api.RPCReply{}, errNotYet
}

func (s *System) Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	return errNotYet
}

func (s *System) Logs(ctx context.Context, r api.LogRequest, yield func(api.LogLine) bool) error {
	return errNotYet
}
