package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/distcheck"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// checkPeers connects step by step to NAME@HOST, or to the instances that APP or APP/INSTANCE names.
func (d *doctor) checkPeers(ctx context.Context, target string) error {
	self, err := nodeName(d.cfg)
	if err != nil {
		return err
	}
	peers, err := d.peersOf(target, self)
	if err != nil {
		return err
	}
	cookies, err := readCookies(d.cfg, d.cli.getenv, d.existingCookie())
	if err != nil {
		return nil // told by the check of the cookie
	}
	transport, err := existingTransport(d, self)
	if err != nil {
		d.tlsFailed("tls", err)
		return nil
	}
	for _, peer := range peers {
		cookie := cookies.of(peer)
		if cookie == "" {
			cookie = cookies.node
		}
		for _, f := range distcheck.Check(ctx, distcheck.Options{
			Self: self, Cookie: cookie, EPMDAddr: d.cfg.Node.EPMDAddress(d.cli.getenv), Transport: transport,
			NetTickTime: d.cfg.Node.NetTickTime, Timeout: d.cfg.Node.ConnectTimeout, Running: d.status != nil,
		}, peer) {
			d.checks = append(d.checks, check{Area: areaDist, Name: peer.String() + " " + f.Step, Result: string(f.State), Detail: f.Detail, Remedy: f.Remedy})
		}
	}
	return nil
}

// peersOf are the nodes that a target names.
func (d *doctor) peersOf(target string, self node.Name) ([]node.Name, error) {
	if strings.Contains(target, "@") {
		peer, err := node.ParseName(target)
		if err != nil {
			return nil, &api.Error{Code: api.CodeUsage, Message: err.Error(), Err: err}
		}
		return []node.Name{peer}, nil
	}
	t, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	if _, err := findApp(d.cfg, t.App); err != nil {
		return nil, err
	}
	instances, err := d.runningInstances(t.App, self)
	if err != nil {
		return nil, err
	}
	var peers []node.Name
	for _, name := range instances {
		if t.Instance == "" || t.Instance == name {
			peers = append(peers, node.Name{Alive: name, Host: self.Host})
		}
	}
	if len(peers) == 0 {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no instance of %s runs", target), Hint: "beamkeeper status " + t.App + "; running: " + or(strings.Join(instances, ", "), "none")}
	}
	return peers, nil
}

// runningInstances are those that the daemon knows, or without a daemon those that the kernel shows.
func (d *doctor) runningInstances(app string, self node.Name) ([]string, error) {
	var names []string
	if d.status == nil {
		found, err := process.Find(self.String())
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if f.App == app && f.Main {
				names = append(names, f.Instance)
			}
		}
		return names, nil
	}
	for _, a := range d.status.Apps {
		if a.Name != app {
			continue
		}
		for _, i := range a.Instances {
			if i.OSPID != 0 {
				names = append(names, i.Name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// existingTransport is the transport of node.tls with the daemon's own certificate, nil for TCP. No certificate is made.
func existingTransport(d *doctor, self node.Name) (node.Transport, error) {
	switch d.cfg.Node.TLS.Mode {
	case tlsOwnCA:
		dir := tlsDir(d.cfg)
		if !tlsdist.AuthorityExists(dir) {
			return nil, &api.Error{Code: api.CodeNotFound, Message: "there is no certificate authority in " + dir, Hint: "start the daemon, which makes it"}
		}
		a, err := tlsdist.OpenAuthority(dir, tlsdist.Options{})
		if err != nil {
			return nil, tlsError(err)
		}
		if _, err := a.Find(self); err != nil {
			return nil, tlsError(err)
		}
		return &tlsdist.Transport{Source: a.Source(self)}, nil
	case tlsFiles:
		f, err := tlsdist.OpenFiles(filesSpec(d.cfg))
		if err != nil {
			return nil, tlsError(err)
		}
		return &tlsdist.Transport{Source: f}, nil
	}
	return nil, nil
}
