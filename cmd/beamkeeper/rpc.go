package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) rpcCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rpc APP[/INSTANCE] 'M:F(ARGS).'", Short: "Call a function in an instance and print its value",
		Args: arguments("APP[/INSTANCE]", "'M:F(ARGS).'"), ValidArgsFunction: c.completeTargets,
		Example: "  beamkeeper rpc shop 'erlang:system_info(otp_release).'\n  beamkeeper rpc shop/shop-abc123 \"'Elixir.Shop.Cart':count().\"",
	}
	asJSON := jsonFlag(cmd)
	timeout := cmd.Flags().Duration("timeout", 30*time.Second, "how long the call may take")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := parseTarget(args[0])
		if err != nil {
			return err
		}
		if strings.TrimSpace(args[1]) == "" {
			return api.Errorf(api.CodeUsage, "the call is empty")
		}
		if *timeout < time.Millisecond {
			return api.Errorf(api.CodeUsage, "--timeout must be positive")
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		reply, err := d.RPC(cmd.Context(), api.RPCRequest{Target: t, Call: args[1], TimeoutMS: timeout.Milliseconds()})
		if err != nil {
			return err
		}
		if *asJSON {
			if err := printJSON(c.out, reply); err != nil {
				return err
			}
		} else if reply.Class == "" {
			fmt.Fprintln(c.out, reply.Text)
		}
		if reply.Class != "" {
			return api.Errorf(api.CodeFailed, "the call ended with %s on %s: %s", reply.Class, reply.Node, printable(reply.Text))
		}
		return nil
	}
	return cmd
}
