package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) startCommand() *cobra.Command {
	return c.targetCommand("start", "Start an app that was stopped, or an instance that stopped or failed", "started", api.Control.Start)
}

func (c *cli) stopCommand() *cobra.Command {
	return c.targetCommand("stop", "Stop an app or an instance until it is started again", "stopped", api.Control.Stop)
}

func (c *cli) restartCommand() *cobra.Command {
	return c.targetCommand("restart", "Restart an app's instances, or one", "restarted", api.Control.Restart)
}

func (c *cli) targetCommand(verb, short, done string, do func(api.Control, context.Context, api.Target) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " APP[/INSTANCE]", Short: short, Args: arguments("APP[/INSTANCE]"), ValidArgsFunction: c.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			d, err := c.daemon()
			if err != nil {
				return err
			}
			if err := do(d, cmd.Context(), t); err != nil {
				return err
			}
			fmt.Fprintf(c.out, "%s %s\n", done, t)
			return nil
		},
	}
}

func (c *cli) scaleCommand() *cobra.Command {
	return &cobra.Command{
		Use: "scale APP N", Short: "Change the number of an app's replicas", Args: arguments("APP", "N"), ValidArgsFunction: c.completeApps,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 {
				return api.Errorf(api.CodeUsage, "%q is not a number of replicas", args[1])
			}
			d, err := c.daemon()
			if err != nil {
				return err
			}
			if err := d.Scale(cmd.Context(), args[0], n); err != nil {
				return err
			}
			fmt.Fprintf(c.out, "scaled %s to %s\n", args[0], plural(n, "replica"))
			return nil
		},
	}
}
