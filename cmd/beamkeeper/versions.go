package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func forceFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("force", false, "even if the version is a ghost, which it is no longer then")
}

func (c *cli) pinCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pin APP VERSION", Short: "Move an app to a version and keep it there, whatever current.json says",
		Long: "Moves an app to a version and keeps it there: current.json is read, and what it says is told, but not deployed until\n" +
			"beamkeeper unpin APP.\n\nIt waits for the end and shows every step; what it waits for goes on when it is interrupted.",
		Args: arguments("APP", "VERSION"), ValidArgsFunction: c.completeVersions,
	}
	c.movingCommand(cmd, func(ctx context.Context, d api.Control, app string, r api.VersionRequest) (api.Deployment, error) {
		return d.Pin(ctx, app, r)
	})
	return cmd
}

func (c *cli) rollbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollback APP [VERSION]", Short: "Move an app back to the last good version, or to an earlier one",
		Long: "Moves all replicas back to the version that was brought before the one there is, or to one before that. Its release is\n" +
			"taken from this host, as long as release.keep_releases left it there. It stays until current.json changes; to keep it\n" +
			"longer, beamkeeper pin APP VERSION.\n\nIt waits for the end and shows every step; what it waits for goes on when it is interrupted.",
		Args: arguments("APP", "[VERSION]"), ValidArgsFunction: c.completeVersions,
	}
	c.movingCommand(cmd, func(ctx context.Context, d api.Control, app string, r api.VersionRequest) (api.Deployment, error) {
		return d.Rollback(ctx, app, r)
	})
	return cmd
}

// movingCommand gives a verb that begins a deployment its flags, and has it wait for the end.
func (c *cli) movingCommand(cmd *cobra.Command, do func(context.Context, api.Control, string, api.VersionRequest) (api.Deployment, error)) {
	asJSON, wait, force := jsonFlag(cmd), waitFlags(cmd), forceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		r := api.VersionRequest{Force: *force}
		if len(args) > 1 {
			r.Version = args[1]
		}
		asked := time.Now().Truncate(time.Millisecond)
		began, err := do(cmd.Context(), d, args[0], r)
		switch {
		case err != nil:
			return err
		case began.Outcome == api.DeploymentSucceeded && began.EndedAt.Before(asked):
			return c.printThere(began, *asJSON)
		case wait.detach:
			return c.printBegun(began, *asJSON)
		}
		return c.follow(cmd.Context(), d, began.ID, wait.timeout, *asJSON)
	}
}

func (c *cli) unpinCommand() *cobra.Command {
	return c.sayingCommand("unpin", "Follow current.json again", "unpinned", api.Control.Unpin)
}

func (c *cli) freezeCommand() *cobra.Command {
	return c.sayingCommand("freeze", "Keep an app from being moved to another version, by whomever", "froze", api.Control.Freeze)
}

func (c *cli) unfreezeCommand() *cobra.Command {
	return c.sayingCommand("unfreeze", "Let an app be moved to other versions again", "unfroze", api.Control.Unfreeze)
}

func (c *cli) sayingCommand(verb, short, done string, do func(api.Control, context.Context, string) error) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " APP", Short: short, Args: arguments("APP"), ValidArgsFunction: c.completeApps}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		if err := do(d, cmd.Context(), args[0]); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s %s\n", done, args[0])
		return nil
	}
	return cmd
}

func (c *cli) ghostsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ghosts APP [clear [VERSION]]", Short: "The versions of an app that failed and are not deployed by themselves any more",
		Long: "Lists the versions that failed for a reason of their own, with the evidence. They are not deployed by themselves, and\n" +
			"deploy, pin and rollback refuse them without --force. With clear, one or all are taken off the list; what current.json\n" +
			"names is then tried again.",
		Args: arguments("APP", "[clear]", "[VERSION]"), ValidArgsFunction: c.completeGhosts,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 && args[1] != "clear" {
			return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("ghosts has no verb %q", args[1]), Hint: "usage: " + cmd.UseLine()}
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		var list []api.Ghost
		if len(args) > 1 {
			version := ""
			if len(args) > 2 {
				version = args[2]
			}
			list, err = d.ClearGhosts(cmd.Context(), args[0], version)
		} else {
			list, err = d.Ghosts(cmd.Context(), args[0])
		}
		switch {
		case err != nil:
			return err
		case *asJSON:
			return printJSON(c.out, list)
		case len(args) > 1:
			for _, g := range list {
				fmt.Fprintf(c.out, "cleared %s %s\n", args[0], g.Version)
			}
			return nil
		}
		c.printGhosts(args[0], list)
		return nil
	}
	return cmd
}

func (c *cli) printGhosts(app string, list []api.Ghost) {
	if len(list) == 0 {
		fmt.Fprintf(c.err, "%s has no ghosts\n", app)
	}
	for _, g := range list {
		fmt.Fprintf(c.out, "%s  %s  deployment %s", g.Version, stamp(g.At), g.Deployment)
		if g.SHA256 != "" {
			fmt.Fprintf(c.out, "  sha256 %.12s", g.SHA256)
		}
		fmt.Fprintf(c.out, "\n  %s\n", brief(g.Reason))
		for _, st := range g.Readiness {
			fmt.Fprintf(c.out, "  %s: %s", st.Name, st.State)
			if st.Detail != "" {
				fmt.Fprintf(c.out, ": %s", brief(st.Detail))
			}
			fmt.Fprintln(c.out)
		}
		for _, l := range g.LogTail {
			fmt.Fprintf(c.out, "  | %s\n", printable(l))
		}
	}
}

// completeVersions completes APP, and then a version that it has had.
func (c *cli) completeVersions(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return c.knownApps(cmd.Context()), noFiles
	case 1:
	default:
		return nil, noFiles
	}
	d, err := c.daemon()
	if err != nil {
		return nil, noFiles
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	entries, err := d.History(ctx, args[0])
	if err != nil {
		return nil, noFiles
	}
	var names []string
	seen := make(map[string]bool)
	for _, e := range entries {
		if !seen[e.Version] {
			seen[e.Version] = true
			names = append(names, e.Version)
		}
	}
	return names, noFiles | cobra.ShellCompDirectiveKeepOrder
}

// completeGhosts completes APP, clear, and then a ghost.
func (c *cli) completeGhosts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return c.knownApps(cmd.Context()), noFiles
	case 1:
		return []string{"clear"}, noFiles
	case 2:
		s, _ := c.quickStatus(cmd.Context())
		for _, a := range s.Apps {
			if a.Name == args[0] {
				return a.Ghosted, noFiles
			}
		}
	}
	return nil, noFiles
}
