package main

import (
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) selfCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "self", Short: "The program itself: upgrade it while the instances run on"}
	group(cmd)
	cmd.AddCommand(c.selfUpgradeCommand())
	return cmd
}

func (c *cli) selfUpgradeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "upgrade FILE|VERSION", Short: "Replace the running daemon's program, and go back if it does not do",
		Long: "Checks the new program (signature, machine, state, configuration), puts it in the place of the one that the daemon\n" +
			"runs, restarts the daemon, and looks whether it is up, has taken over every instance and stays up. If not, the old\n" +
			"program is put back and started. Instances never notice.\n\n" +
			"FILE is a program, with its signature in FILE.minisig. VERSION is looked for in a local bucket, as\n" +
			"dist/beamkeeper/beamkeeper-VERSION-linux-ARCH. Where a package brought the program, install the new package instead:\n" +
			"it restarts the daemon alone, too.\n\n" +
			"Under systemd the unit is restarted, elsewhere the daemon executes the new program in its place.",
		Args:    arguments("FILE|VERSION"),
		Example: "  beamkeeper self upgrade ./beamkeeper-1.3.0-linux-amd64 --public-key RWQ…",
	}
	var o selfUpgrade
	flags := cmd.Flags()
	flags.StringArrayVar(&o.keys, "public-key", nil, "minisign key that the program may be signed with, besides those of self_upgrade.public_keys")
	flags.BoolVar(&o.unsigned, "unsigned", false, "take a program without a signature")
	flags.BoolVar(&o.force, "force", false, "replace a program that a package brought, or take one with another state schema")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long the new daemon may take to be up")
	flags.DurationVar(&o.soak, "soak", 5*time.Second, "how long it must stay up")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.selfUpgrade(cmd.Context(), args[0], o)
	}
	return cmd
}
