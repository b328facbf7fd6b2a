package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (c *cli) purgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "purge APP", Short: "Remove all that is left of an app that was removed from the configuration",
		Long: "Removes the state, versions history, deployments, releases and logs of an app whose removal was confirmed with\n" +
			"beamkeeper config apply --confirm-removal APP. The bucket is not touched.",
		Args: arguments("APP"),
	}
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		if !*yes {
			if err := c.confirm(fmt.Sprintf("Remove all data of %s for good?", args[0]), "--yes"); err != nil {
				return err
			}
		}
		if err := d.Purge(cmd.Context(), args[0]); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "purged %s\n", args[0])
		return nil
	}
	return cmd
}
