package node

import (
	"context"
	"io"
	"net"
	"time"
)

// epmdTimeout bounds one question to a port mapper.
const epmdTimeout = 5 * time.Second

// EPMDClient asks port mappers. The zero value asks on port 4369.
type EPMDClient struct {
	Addr string // port mapper of this host; default 127.0.0.1:4369
	Self string // host name that Addr stands for
	// Resolve gives the addresses of another host; nil: the host itself.
	Resolve func(ctx context.Context, host string) ([]string, error)
}

// EPMDNode is what a port mapper knows of a node.
type EPMDNode struct {
	Alive  string
	Port   int
	Hidden bool   // from PortPlease only
	Low    uint16 // lowest and highest distribution version, from PortPlease only
	High   uint16
	Addr   string // address, without port, of the port mapper that answered; from PortPlease only
}

// Names lists the nodes registered on a host ("" for the own one). Error: *EPMDError.
func (c *EPMDClient) Names(ctx context.Context, host string) ([]EPMDNode, error) {
	var nodes []EPMDNode
	_, err := c.ask(ctx, host, "", appendNamesReq(nil), func(r io.Reader) (err error) {
		nodes, err = readNamesResp(r)
		return err
	})
	return nodes, err
}

// PortPlease asks where a node listens. Errors: *EPMDError, with ErrNameUnknown when it is not registered and ErrVersion when it
// does not speak distribution version 6.
func (c *EPMDClient) PortPlease(ctx context.Context, n Name) (EPMDNode, error) {
	var node EPMDNode
	addr, err := c.ask(ctx, n.Host, n.Alive, appendPortPlease2Req(nil, n.Alive), func(r io.Reader) (err error) {
		node, err = readPort2Resp(r)
		if err == nil && (node.Low > distVersion || node.High < distVersion) {
			err = ErrVersion
		}
		return err
	})
	node.Addr = addr
	return node, err
}

// ask puts one question to the port mapper of a host. It gives the address that answered.
func (c *EPMDClient) ask(ctx context.Context, host, name string, req []byte, read func(io.Reader) error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, epmdTimeout)
	defer cancel()
	addrs, port, err := c.addrs(ctx, host)
	if err != nil {
		return "", &EPMDError{Addr: host, Name: name, Err: err}
	}
	for _, addr := range addrs {
		if err = askEPMD(ctx, net.JoinHostPort(addr, port), req, read); err == nil {
			return addr, nil
		}
	}
	return "", &EPMDError{Addr: net.JoinHostPort(addrs[len(addrs)-1], port), Name: name, Err: err}
}

// addrs gives the addresses, at least one, and the port of the port mapper of a host.
func (c *EPMDClient) addrs(ctx context.Context, host string) (addrs []string, port string, err error) {
	local := c.Addr
	if local == "" {
		local = DefaultEPMDAddr
	}
	own, port, err := net.SplitHostPort(local)
	if err != nil {
		return nil, "", err
	}
	switch {
	case host == "" || host == c.Self:
		return []string{own}, port, nil
	case c.Resolve == nil:
		return []string{host}, port, nil
	}
	addrs, err = c.Resolve(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, port, err
}

func askEPMD(ctx context.Context, addr string, req []byte, read func(io.Reader) error) error {
	conn, err := dialEPMD(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, err = conn.Write(req)
	if err == nil {
		err = read(conn)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func dialEPMD(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
