package main

import "github.com/spf13/cobra"

func (c *cli) nodesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "nodes", Short: "Erlang nodes that the daemon is connected with", Args: arguments()}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		nodes, err := d.Nodes(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, nodes)
		}
		t := newTable(c.out)
		t.row("NODE", "STATE", "SINCE", "APP", "OTP", "HIDDEN", "IN", "OUT")
		for _, n := range nodes {
			hidden := "-"
			if n.Hidden {
				hidden = "hidden"
			}
			t.row(n.Name, n.State, since(n.Since), or(n.App, "-"), or(n.OTPRelease, "-"), hidden, size(int64(n.BytesIn)), size(int64(n.BytesOut)))
		}
		return t.flush()
	}
	return cmd
}
