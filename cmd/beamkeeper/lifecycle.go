package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) startCommand() *cobra.Command {
	cmd, do := c.targetCommand("start", "Start an app that was stopped, or an instance that stopped or failed")
	wait := waitFlags(cmd)
	do(func(ctx context.Context, d api.Control, t api.Target) error {
		if err := d.Start(ctx, t); err != nil {
			return err
		}
		return c.settle(ctx, d, *wait, settling{app: t.App, instance: t.Instance, doing: "starting " + t.String(), done: "started " + t.String()})
	})
	return cmd
}

func (c *cli) stopCommand() *cobra.Command {
	cmd, do := c.targetCommand("stop", "Stop an app or an instance until it is started again")
	timeout := cmd.Flags().Duration("timeout", 0, "wait no longer than that; it goes on (exit code 7)")
	do(func(ctx context.Context, d api.Control, t api.Target) error {
		if *timeout > 0 {
			limited, cancel := context.WithTimeout(ctx, *timeout)
			defer cancel()
			ctx = limited
		}
		err := d.Stop(ctx, t)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return stillAt("stopping "+t.String(), fmt.Sprintf("not finished within %s", *timeout), t.App)
		case errors.Is(err, context.Canceled):
			return stillAt("stopping "+t.String(), "interrupted", t.App)
		case err != nil:
			return err
		}
		fmt.Fprintf(c.out, "stopped %s\n", t)
		return nil
	})
	return cmd
}

func (c *cli) restartCommand() *cobra.Command {
	cmd, do := c.targetCommand("restart", "Restart an app's instances one after the other, or one of them")
	wait := waitFlags(cmd)
	do(func(ctx context.Context, d api.Control, t api.Target) error {
		before, err := appStatus(ctx, d, t.App)
		if err != nil {
			return err
		}
		if err := d.Restart(ctx, t); err != nil {
			return err
		}
		return c.settle(ctx, d, *wait, settling{app: t.App, instance: t.Instance, before: before, fresh: true, doing: "restarting " + t.String(), done: "restarted " + t.String()})
	})
	return cmd
}

// targetCommand makes a verb with the argument APP[/INSTANCE]. The function it returns sets what the verb does.
func (c *cli) targetCommand(verb, short string) (*cobra.Command, func(func(context.Context, api.Control, api.Target) error)) {
	cmd := &cobra.Command{Use: verb + " APP[/INSTANCE]", Short: short, Args: arguments("APP[/INSTANCE]"), ValidArgsFunction: c.completeTargets}
	return cmd, func(do func(context.Context, api.Control, api.Target) error) {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			t, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			d, err := c.daemon()
			if err != nil {
				return err
			}
			return do(cmd.Context(), d, t)
		}
	}
}

func (c *cli) scaleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "scale APP N", Short: "Change the number of an app's replicas", Args: arguments("APP", "N"), ValidArgsFunction: c.completeApps,
	}
	wait := waitFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 0 || n > api.MaxReplicas {
			return api.Errorf(api.CodeUsage, "%q is not a number of replicas from 0 to %d", args[1], api.MaxReplicas)
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		before, err := appStatus(cmd.Context(), d, args[0])
		if err != nil {
			return err
		}
		if err := d.Scale(cmd.Context(), args[0], n); err != nil {
			return err
		}
		if before.Mode == modeStopped || before.DesiredVersion == "" {
			wait.detach = true // nothing starts now
		}
		return c.settle(cmd.Context(), d, *wait, settling{app: args[0], before: before, doing: "scaling " + args[0],
			done: fmt.Sprintf("scaled %s to %s", args[0], plural(n, "replica"))})
	}
	return cmd
}
