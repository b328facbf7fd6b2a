package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) deploymentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "deployment", Short: "Deployments under way and past", Aliases: []string{"deployments"}}
	group(cmd)
	cmd.AddCommand(c.deploymentListCommand(), c.deploymentShowCommand(), c.deploymentWatchCommand(), c.deploymentAbortCommand(), c.deploymentCommitCommand(), c.deploymentRevertCommand())
	return cmd
}

func (c *cli) deploymentListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list [APP]", Short: "The last deployments, the newest first", Args: arguments("[APP]"), ValidArgsFunction: c.completeApps}
	asJSON := jsonFlag(cmd)
	limit := cmd.Flags().IntP("lines", "n", 20, "how many; 0 for all that are kept")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		app := ""
		if len(args) > 0 {
			app = args[0]
		}
		ds, err := d.Deployments(cmd.Context(), app, *limit)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, ds)
		}
		t := newTable(c.out)
		t.row("ID", "APP", "FROM", "TO", "KIND", "BY", "BEGUN", "TOOK", "OUTCOME")
		for _, d := range ds {
			t.row(d.ID, d.App, or(d.From, "-"), d.To, d.Kind, or(or(d.By, d.Author), d.Trigger), stamp(d.StartedAt), took(d), d.Outcome)
		}
		return t.flush()
	}
	return cmd
}

func (c *cli) deploymentShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "The timeline of one deployment: every phase, what it took, and what it has to show", Args: arguments("ID"), ValidArgsFunction: c.completeDeployments}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		one, err := d.Deployment(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, one)
		}
		return printDeployment(c.out, one)
	}
	return cmd
}

func (c *cli) deploymentWatchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "watch ID", Short: "Follow a deployment to its end", Args: arguments("ID"), ValidArgsFunction: c.completeDeployments}
	asJSON := jsonFlag(cmd)
	timeout := cmd.Flags().Duration("timeout", 0, "wait no longer than that (exit code 7)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		return c.follow(cmd.Context(), d, args[0], *timeout, *asJSON)
	}
	return cmd
}

func (c *cli) deploymentAbortCommand() *cobra.Command {
	return &cobra.Command{
		Use: "abort ID", Short: "Stop a deployment; the instances it replaced nothing of stay",
		Args: arguments("ID"), ValidArgsFunction: c.completeDeployments,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.daemon()
			if err != nil {
				return err
			}
			if err := d.AbortDeployment(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.out, "aborted %s\n", args[0])
			return nil
		},
	}
}

// deploymentLine says in one line how a deployment is.
func deploymentLine(d api.Deployment) string {
	move := d.To
	if d.From != "" && d.From != d.To {
		move = d.From + " → " + d.To
	}
	s := fmt.Sprintf("deployment %s of %s %s", d.ID, d.App, move)
	switch d.Outcome {
	case api.DeploymentRunning:
		return fmt.Sprintf("%s is under way for %s", s, took(d))
	case api.DeploymentSucceeded:
		return fmt.Sprintf("%s succeeded in %s", s, took(d))
	case api.DeploymentFailed, api.DeploymentRefused:
		return fmt.Sprintf("%s %s after %s: %s", s, map[string]string{api.DeploymentFailed: "failed", api.DeploymentRefused: "was refused"}[d.Outcome], took(d), brief(d.Error))
	}
	return fmt.Sprintf("%s was %s after %s", s, d.Outcome, took(d))
}
