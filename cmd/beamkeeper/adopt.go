package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) adoptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "adopt [APP[/INSTANCE]]", Short: "Take over running instances that the daemon has no record of",
		Long: "Shows the instances that run under the daemon's node name and that its state does not know, as after the loss of its\n" +
			"state folder. With APP, APP/INSTANCE or --all they are taken over as they are: none is stopped or started.\n" +
			"While there are any, nothing of their app is started or stopped.",
		Args: arguments("[APP[/INSTANCE]]"), ValidArgsFunction: c.completeApps,
	}
	all := cmd.Flags().Bool("all", false, "adopt those of all apps")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		var t api.Target
		switch {
		case *all && len(args) > 0:
			return api.Errorf(api.CodeUsage, "--all and %q exclude each other", args[0])
		case len(args) > 0:
			if t, err = parseTarget(args[0]); err != nil {
				return err
			}
		case !*all:
			list, err := d.Unclaimed(cmd.Context())
			if err != nil {
				return err
			}
			return c.showUnclaimed(list, *asJSON)
		}
		list, err := d.Adopt(cmd.Context(), t)
		if err != nil {
			return err
		}
		return c.showAdopted(list, *asJSON)
	}
	return cmd
}

func (c *cli) showUnclaimed(list []api.Unclaimed, asJSON bool) error {
	if asJSON {
		return printJSON(c.out, list)
	}
	if len(list) == 0 {
		fmt.Fprintln(c.out, "all running instances are known")
		return nil
	}
	t := newTable(c.out)
	t.row("APP", "INSTANCE", "OS PID", "STARTED")
	for _, u := range list {
		t.row(u.App, u.Instance, u.OSPID, stamp(u.StartedAt))
	}
	return t.flush()
}

func (c *cli) showAdopted(list []api.Adopted, asJSON bool) error {
	if asJSON {
		if err := printJSON(c.out, list); err != nil {
			return err
		}
	}
	failed := 0
	for _, a := range list {
		switch {
		case a.Error != "":
			failed++
			fmt.Fprintf(c.err, "%s, OS pid %d, was not adopted: %s\n", a.Instance, a.OSPID, a.Error)
		case !asJSON:
			fmt.Fprintf(c.out, "adopted %s %s, OS pid %d\n", a.Instance, a.Version, a.OSPID)
		}
	}
	if failed > 0 {
		return api.Errorf(api.CodeFailed, "%s of %d not adopted", plural(failed, "instance"), len(list))
	}
	return nil
}
