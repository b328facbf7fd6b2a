package node

import "context"

// EPMDClient asks port mappers. The zero value asks on port 4369.
type EPMDClient struct {
	Addr string // port mapper of this host; default 127.0.0.1:4369
	Self string // host name that Addr stands for
}

// EPMDNode is what a port mapper knows of a node.
type EPMDNode struct {
	Alive  string
	Port   int
	Hidden bool   // from PortPlease only
	Low    uint16 // lowest and highest distribution version, from PortPlease only
	High   uint16
}

// Names lists the nodes registered on a host ("" for the own one). Error: *EPMDError.
func (c *EPMDClient) Names(ctx context.Context, host string) ([]EPMDNode, error) { panic("todo") }

// PortPlease asks where a node listens. Errors: *EPMDError with ErrNameUnknown when it is not registered.
func (c *EPMDClient) PortPlease(ctx context.Context, n Name) (EPMDNode, error) { panic("todo") }
