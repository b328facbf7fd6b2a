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
	grants, err := erlangGrants(cfg)
	if err != nil {
		return nil, err
	}
	return erlapi.Start(erlapi.Config{Node: n, Grants: grants, Log: log.With("part", "erlapi")})
}

// erlangGrants are the rights that the configuration grants to nodes.
func erlangGrants(cfg *config.Config) ([]erlapi.Grant, error) {
	var grants []erlapi.Grant
	for _, g := range cfg.Node.Grant {
		right, err := erlapi.ParseRight(g.Rights)
		if err != nil {
			return nil, fmt.Errorf("node.grant: %w", err)
		}
		grants = append(grants, erlapi.Grant{Nodes: g.Nodes, Right: right})
	}
	return grants, nil
}
