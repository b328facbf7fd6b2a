package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) deploymentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "deployment", Short: "Deployments under way and past", Aliases: []string{"deployments"}}
	group(cmd)
	cmd.AddCommand(c.deploymentListCommand(), c.deploymentShowCommand(), c.deploymentWatchCommand(), c.deploymentAbortCommand(), c.deploymentCommitCommand(), c.deploymentRevertCommand())
	return cmd
}

func (c *cli) deploymentListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list [APP]", Short: "The last deployments, the newest first", Args: arguments("[APP]"), ValidArgsFunction: c.completeApps}
	asJSON := jsonFlag(cmd)
	limit := cmd.Flags().IntP("lines", "n", 20, "how many; 0 for all that are kept")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		app := ""
		if len(args) > 0 {
			app = args[0]
		}
		ds, err := d.Deployments(cmd.Context(), app, *limit)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, ds)
		}
		t := newTable(c.out)
		t.row("ID", "APP", "FROM", "TO", "KIND", "BY", "BEGUN", "TOOK", "OUTCOME")
		for _, d := range ds {
			t.row(d.ID, d.App, or(d.From, "-"), d.To, d.Kind, or(d.By, d.Trigger), stamp(d.StartedAt), took(d), d.Outcome)
		}
		return t.flush()
	}
	return cmd
}

func (c *cli) deploymentShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Every step of one deployment", Args: arguments("ID"), ValidArgsFunction: c.completeDeployments}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		one, err := d.Deployment(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, one)
		}
		return printDeployment(c.out, one)
	}
	return cmd
}

func (c *cli) deploymentWatchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "watch ID", Short: "Follow a deployment to its end", Args: arguments("ID"), ValidArgsFunction: c.completeDeployments}
	asJSON := jsonFlag(cmd)
	timeout := cmd.Flags().Duration("timeout", 0, "wait no longer than that (exit code 7)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		return c.follow(cmd.Context(), d, args[0], *timeout, *asJSON)
	}
	return cmd
}

func (c *cli) deploymentAbortCommand() *cobra.Command {
	return &cobra.Command{
		Use: "abort ID", Short: "Stop a deployment; the instances it replaced nothing of stay",
		Args: arguments("ID"), ValidArgsFunction: c.completeDeployments,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.daemon()
			if err != nil {
				return err
			}
			if err := d.AbortDeployment(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.out, "aborted %s\n", args[0])
			return nil
		},
	}
}

// deploymentLine says in one line how a deployment is.
func deploymentLine(d api.Deployment) string {
	move := d.To
	if d.From != "" && d.From != d.To {
		move = d.From + " → " + d.To
	}
	s := fmt.Sprintf("deployment %s of %s %s", d.ID, d.App, move)
	switch d.Outcome {
	case api.DeploymentRunning:
		return fmt.Sprintf("%s is under way for %s", s, took(d))
	case api.DeploymentSucceeded:
		return fmt.Sprintf("%s succeeded in %s", s, took(d))
	case api.DeploymentFailed:
		return fmt.Sprintf("%s failed after %s: %s", s, took(d), brief(d.Error))
	}
	return fmt.Sprintf("%s was %s after %s", s, d.Outcome, took(d))
}

// askedBy is who asked for a deployment, and how when that does not say it.
func askedBy(d api.Deployment) string {
	if d.By == "" {
		return d.Trigger
	}
	return d.By + " (" + d.Trigger + ")"
}

func printDeployment(w io.Writer, d api.Deployment) error {
	fmt.Fprintln(w, deploymentLine(d))
	fmt.Fprintf(w, "kind %s, asked for by %s, begun %s\n", d.Kind, askedBy(d), stamp(d.StartedAt))
	t := newTable(w)
	printSteps(t, d.App, d.Steps)
	for _, i := range d.Instances {
		printSteps(t, i.Name, i.Steps)
	}
	if err := t.flush(); err != nil {
		return err
	}
	printOutput(w, d.Steps)
	for _, l := range d.LogTail {
		fmt.Fprintf(w, "| %s\n", printable(l))
	}
	return nil
}

// printOutput shows what hooks and pre_commands have printed.
func printOutput(w io.Writer, steps []api.DeploymentStep) {
	for _, st := range steps {
		if len(st.Output) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s %s printed:\n", st.Name, printable(st.Command))
		for _, l := range st.Output {
			fmt.Fprintf(w, "| %s\n", printable(l))
		}
	}
}

func printSteps(t table, who string, steps []api.DeploymentStep) {
	for _, st := range steps {
		state := "done"
		switch {
		case st.Error != "":
			state = "failed: " + brief(st.Error)
		case st.EndedAt.IsZero():
			state = "under way"
		}
		name := st.Name
		if st.Command != "" {
			name += " " + printable(brief(st.Command))
		}
		t.row("  "+who, name, st.StartedAt.Local().Format("15:04:05.000"), stepAge(st), state+detail(st))
	}
}
