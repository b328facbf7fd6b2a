package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

// exitChanges is the exit code of a comparison that found something.
const exitChanges = 2

func (c *cli) configDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff [FILE]", Short: "What the file would change of what the daemon runs with",
		Long: "Compares the daemon's configuration file, or FILE in its place, with what the daemon has in force, and says of each\n" +
			"difference when it counts. Secrets are masked. Exit code 0: nothing to change; 2: there are differences; 1: the file\n" +
			"is broken.",
		Args: arguments("[FILE]"), ValidArgsFunction: completeConfig,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, d, err := c.compare(cmd.Context(), args)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(c.out, d)
		} else {
			printConfigDiff(c.out, d)
		}
		switch {
		case err != nil:
			return err
		case len(d.Broken) > 0:
			return reported{exitFailed}
		case differs(d):
			return reported{exitChanges}
		}
		return nil
	}
	return cmd
}

// compare asks the daemon for the differences. Content is that of the file that args name, empty for the daemon's own.
func (c *cli) compare(ctx context.Context, args []string) (content string, d api.ConfigDiff, err error) {
	daemon, err := c.daemon()
	if err != nil {
		return "", d, err
	}
	if len(args) > 0 {
		b, err := os.ReadFile(args[0])
		if err != nil {
			return "", d, &api.Error{Code: api.CodeNotFound, Message: err.Error(), Err: err}
		}
		if len(b) == 0 {
			b = []byte("\n") // empty stands for the daemon's own
		}
		content = string(b)
	}
	d, err = daemon.ConfigDiff(ctx, api.ConfigDiffRequest{Content: content})
	return content, d, err
}

// differs reports whether there is something to apply, or to restart.
func differs(d api.ConfigDiff) bool {
	return len(d.Changes)+len(d.Removals)+len(d.Restarts) > 0
}

// classHeads are the headings of the changes, in the order in which they are shown.
var classHeads = []struct {
	class config.Class
	head  string
}{
	{config.ClassImmediate, "at once:"},
	{config.ClassNextStart, "from the next deployment or start on:"},
	{config.ClassRollingRestart, "by replacing the instances one after the other:"},
	{config.ClassDaemonRestart, "only with a restart of the daemon (the instances run on):"},
	{config.ClassNone, "without effect in this version:"},
}

func printConfigDiff(w io.Writer, d api.ConfigDiff) {
	if len(d.Broken) > 0 {
		fmt.Fprintf(w, "%s is broken; what is in force stays so:\n", d.File)
		for _, line := range d.Broken {
			fmt.Fprintln(w, printable(line))
		}
		return
	}
	if !differs(d) {
		fmt.Fprintf(w, "%s: all of it is in force\n", d.File)
		return
	}
	fmt.Fprintf(w, "%s\n", d.File)
	removed := make(map[string]bool)
	for _, h := range classHeads {
		headed := false
		for _, ch := range d.Changes {
			if ch.Class != string(h.class) {
				continue
			}
			if !headed {
				fmt.Fprintf(w, "%s\n", h.head)
				headed = true
			}
			fmt.Fprintf(w, "  %s\n", printable(changeLine(ch)))
			if ch.Op == config.OpRemoved {
				removed[ch.App] = true
			}
		}
	}
	for _, app := range d.Removals {
		if !removed[app] {
			fmt.Fprintf(w, "left over from an earlier configuration:\n  - applications[%s]  takes --confirm-removal %s\n", app, app)
		}
	}
	for _, r := range d.Restarts {
		fmt.Fprintf(w, "started with other settings than those in force:\n  %s: %s\n", r.App, strings.Join(r.Instances, " "))
	}
}

func changeLine(c api.ConfigChange) string {
	switch {
	case c.Op == config.OpRemoved && c.Path == "applications["+c.App+"]":
		return fmt.Sprintf("- %s  takes --confirm-removal %s", c.Path, c.App)
	case c.Op == config.OpAdded && c.New == "":
		return "+ " + c.Path
	case c.Op == config.OpAdded:
		return fmt.Sprintf("+ %s: %s", c.Path, c.New)
	case c.Op == config.OpRemoved:
		return fmt.Sprintf("- %s: %s", c.Path, c.Old)
	}
	return fmt.Sprintf("~ %s: %s → %s", c.Path, c.Old, c.New)
}
