package main

import (
	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/release"
)

func (c *cli) releaseHostCommand() *cobra.Command {
	return &cobra.Command{
		Use: "host", Short: "What this host offers to a release, as JSON",
		Long: "Writes which machine, C library and shared libraries there are here, for `beamkeeper publish --for FILE` elsewhere.",
		Args: arguments(),
		RunE: func(*cobra.Command, []string) error { return printJSON(c.out, release.ThisHost()) },
	}
}
