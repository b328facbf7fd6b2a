package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/secrets"
)

func (c *cli) pollCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "poll APP",
		Short: "Look at the bucket for an app now",
		Long: "Has the daemon look at the app's current.json at once, instead of at the end of the interval: after a publication, or when\n" +
			"the bucket was in trouble and is asked seldom. What it finds is done as always. CI can do the same over HTTP with the token\n" +
			"of web.poll_token_file.",
		Args: arguments("APP"), ValidArgsFunction: c.completeApps,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		if err := d.Poll(cmd.Context(), args[0]); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "the bucket is looked at for %s now\n", args[0])
		return nil
	}
	return cmd
}

// pollToken reads the token for polls over TCP; empty: none are allowed.
func pollToken(cfg *config.Config) (string, error) {
	file := cfg.Web.PollTokenFile
	if file == "" {
		return "", nil
	}
	s, err := secrets.LoadToken(file)
	return s.Reveal(), err
}
