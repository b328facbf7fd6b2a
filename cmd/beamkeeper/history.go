package main

import (
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) historyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "history APP", Short: "The versions an app has had, the newest first", Args: arguments("APP"), ValidArgsFunction: c.completeApps}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		entries, err := d.History(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, entries)
		}
		t := newTable(c.out)
		t.row("AT", "VERSION", "INSTANCE", "KIND", "DEPLOYMENT", "BY", "AUTHOR", "TOOK", "OUTCOME", "HASH")
		for _, e := range entries {
			took := "-"
			if e.TookMS > 0 {
				took = duration(time.Duration(e.TookMS) * time.Millisecond)
			}
			t.row(stamp(e.At), e.Version, e.Instance, e.Kind, or(e.Deployment, "-"), or(e.By, "-"), or(printable(e.Author), "-"), took, or(e.Outcome, "-"), or(printable(e.Hash), "-"))
		}
		return t.flush()
	}
	return cmd
}
