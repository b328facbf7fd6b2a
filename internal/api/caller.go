package api

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
)

// Caller is who asked: the process at the other end of the control socket, as the kernel names it, or a node of the cluster.
type Caller struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
	PID int `json:"pid"`
	// Groups are the further groups of the process when it connected; nil when the kernel does not tell.
	Groups []int `json:"groups,omitempty"`

	Via string `json:"via"` // socket, tcp, erlang
	// Addr is the peer's address when Via is tcp. UID, GID and PID are then -1.
	Addr string `json:"addr,omitempty"`
	// Node is the node that asked when Via is erlang, UID, GID and PID being -1, and Target the instance that it is, if it
	// is one. When Via is socket, it is the node for whose shell this process asks itself.
	Node   string `json:"node,omitempty"`
	Target Target `json:"target,omitzero"`
}

// Name is what a deployment, the history and events call the caller: APP/INSTANCE or the name of the node. It is empty for
// all who are not nodes.
func (c Caller) Name() string {
	if c.Target.Instance != "" {
		return c.Target.String()
	}
	return c.Node
}

// Author is who is behind the caller, for records: the name of the OS user, or of the node; empty when that is not known.
func (c Caller) Author() string {
	switch {
	case c.Name() != "":
		return c.Name()
	case c.UID < 0 || c.Via == "":
		return c.Addr
	}
	u, err := user.LookupId(strconv.Itoa(c.UID))
	if err != nil {
		return fmt.Sprintf("uid %d", c.UID)
	}
	return u.Username
}

type callerKey struct{}

// WithCaller returns a context that carries c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller that ctx carries, if any.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
