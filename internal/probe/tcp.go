package probe

import (
	"context"
	"net"
	"time"
)

// TCP passes when a connection to Address (host:port) is accepted.
type TCP struct {
	Address string
	Timeout time.Duration // 0: DefaultTimeout
}

func (p TCP) String() string { return "tcp " + p.Address }

// Probe implements Probe.
func (p TCP) Probe(ctx context.Context) error {
	return limited(ctx, p.Timeout, func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", p.Address)
		if err != nil {
			return err
		}
		return c.Close()
	})
}
