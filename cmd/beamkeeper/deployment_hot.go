package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) deploymentCommitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "commit ID", Short: "Make a hot upgrade permanent",
		Long: "Makes permanent what a hot upgrade has installed, so that the new version boots from now on. It is refused as long as\n" +
			"processes still run old code, as the VM ends those; --kill-lingering does it all the same.\n\n" +
			"It waits for the end and shows every step; what it waits for goes on when it is interrupted.",
		Args: arguments("ID"), ValidArgsFunction: c.completeDeployments,
	}
	kill := cmd.Flags().Bool("kill-lingering", false, "end processes that still run old code")
	c.followingCommand(cmd, api.DeploymentSucceeded, func(ctx context.Context, d api.Control, id string) (api.Deployment, error) {
		return d.CommitDeployment(ctx, id, *kill)
	})
	return cmd
}

func (c *cli) deploymentRevertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revert ID", Short: "Take a hot upgrade back, committed or not",
		Long: "Installs the version before a hot upgrade again: by the downgrade instructions as long as there are some, else by a full\n" +
			"deployment.\n\nIt waits for the end and shows every step; what it waits for goes on when it is interrupted.",
		Args: arguments("ID"), ValidArgsFunction: c.completeDeployments,
	}
	c.followingCommand(cmd, api.DeploymentReverted, func(ctx context.Context, d api.Control, id string) (api.Deployment, error) {
		return d.RevertDeployment(ctx, id)
	})
	return cmd
}

// followingCommand gives a verb about a deployment its flags, and has it wait for the end of what that leads to, which is good
// when the deployment that was named has that outcome, or another one succeeds.
func (c *cli) followingCommand(cmd *cobra.Command, outcome string, do func(context.Context, api.Control, string) (api.Deployment, error)) {
	asJSON, wait := jsonFlag(cmd), waitFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		began, err := do(cmd.Context(), d, args[0])
		switch {
		case err != nil:
			return err
		case wait.detach:
			return c.printBegun(began, *asJSON)
		}
		return c.followTo(cmd.Context(), d, began.ID, outcome, wait.timeout, *asJSON)
	}
}
