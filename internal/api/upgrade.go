package api

import "context"

// Kinds of deployments. The first two can be asked for.
const (
	KindFull  = "full"  // new instances replace the old ones
	KindHot   = "hot"   // the running VMs take the new release
	KindScale = "scale" // more or fewer instances of the version there is
)

// Upgrades is what can be said about a hot deployment beside aborting it.
type Upgrades interface {
	// CommitDeployment makes permanent what a hot deployment has installed and does not commit by itself. With kill, processes
	// that still run old code are ended; without, it is refused as long as there are some. It returns once it is accepted.
	CommitDeployment(ctx context.Context, id string, kill bool) (Deployment, error)
	// RevertDeployment takes a hot deployment back: the version before is installed by the downgrade instructions, else
	// deployed fully. It returns, once that is accepted, the deployment that does it: the same one as long as that is under
	// way, else a new one.
	RevertDeployment(ctx context.Context, id string) (Deployment, error)
}

// InstanceUpgrade is how far the hot upgrade of an instance is.
type InstanceUpgrade struct {
	Deployment string `json:"deployment"`
	From       string `json:"from"`
	To         string `json:"to"`
	Phase      string `json:"phase"` // prepare, prepared, install, soak, soaked, commit; revert when it is taken back; broken: it is replaced
	Since      Time   `json:"since"`
}
