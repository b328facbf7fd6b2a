package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "What happened; -f shows what happens", Args: arguments()}
	asJSON := jsonFlag(cmd)
	follow := cmd.Flags().BoolP("follow", "f", false, "go on until interrupted")
	lines := cmd.Flags().IntP("lines", "n", 50, "the last so many; 0 for all that are kept")
	app := cmd.Flags().String("app", "", "those of one app")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("app", c.completeApps))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *lines < 0 {
			return api.Errorf(api.CodeUsage, "--lines is negative")
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		d.Reconnect = awayPatience
		wanted := func(e api.Event) bool { return *app == "" || e.App == *app }
		recent, last, err := lastEvents(cmd.Context(), d, *lines, wanted)
		if err != nil {
			return err
		}
		for _, e := range recent {
			if err := c.printEvent(e, *asJSON); err != nil {
				return err
			}
		}
		if !*follow {
			return nil
		}
		var werr error
		err = d.Events(cmd.Context(), last, true, func(e api.Event) bool {
			if wanted(e) {
				werr = c.printEvent(e, *asJSON)
			}
			return werr == nil
		})
		if werr != nil {
			return werr
		}
		return err
	}
	return cmd
}

// lastEvents returns the last n kept events that are wanted (0: all), and the ID of the last kept one.
func lastEvents(ctx context.Context, d api.Control, n int, wanted func(api.Event) bool) (recent []api.Event, last uint64, err error) {
	err = d.Events(ctx, 0, false, func(e api.Event) bool {
		last = e.ID
		if !wanted(e) {
			return true
		}
		if recent = append(recent, e); n > 0 && len(recent) > 2*n {
			recent = append(recent[:0], recent[len(recent)-n:]...)
		}
		return true
	})
	if n > 0 && len(recent) > n {
		recent = recent[len(recent)-n:]
	}
	return recent, last, err
}

func (c *cli) printEvent(e api.Event, asJSON bool) error {
	if asJSON {
		return printJSONLine(c.out, e)
	}
	who := e.Instance
	if who == "" {
		who = e.App
	}
	_, err := fmt.Fprintf(c.out, "%s  %-7s  %-20s  %-20s  %s\n", e.Time.Local().Format("2006-01-02 15:04:05.000"), e.Level, e.Type, or(who, "-"), printable(e.Message))
	return err
}
