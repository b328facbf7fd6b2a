package main

import (
	"fmt"
	"log/slog"

	"github.com/beamkeeper/beamkeeper/actors/erlapi"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/node"
)

// startErlangAPI takes calls of the API for Erlang code, with the rights that the configuration grants.
func startErlangAPI(n *node.Node, cfg *config.Config, log *slog.Logger) (*erlapi.API, error) {
	c := erlapi.Config{Node: n, Log: log.With("part", "erlapi")}
	for _, g := range cfg.Node.Grant {
		right, err := erlapi.ParseRight(g.Rights)
		if err != nil {
			return nil, fmt.Errorf("node.grant: %w", err)
		}
		c.Grants = append(c.Grants, erlapi.Grant{Nodes: g.Nodes, Right: right})
	}
	return erlapi.Start(c)
}
