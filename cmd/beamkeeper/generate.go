package main

import "github.com/spf13/cobra"

// generateCommand has a verb for each kind of file that can be made from the configuration. They print it and change
// nothing.
func (c *cli) generateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "generate", Short: "Print ready files for the system, made from the configuration",
		Long: "Prints files for other programs, made from the configuration. Nothing is installed or changed: read it, then put it\n" +
			"where the comment at its top says.",
	}
	group(cmd)
	cmd.AddCommand(
		c.generateSudoersCommand(),
		c.generateUsersCommand(),
		c.generateCodeDeployCommand(),
		c.generateNginxCommand(),
		c.generateLogrotateCommand(),
		c.generateManCommand(),
		c.generateTerraformCommand("aws"),
		c.generateTerraformCommand("gcp"),
	)
	cmd.AddCommand(c.generateServiceCommands()...)
	return cmd
}
