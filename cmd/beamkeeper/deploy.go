package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) deployCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deploy APP [VERSION|FILE]",
		Short: "Move an app to a version",
		Long: "Moves an app to a version that the bucket has. Without one, to the version that current.json names.\n" +
			"A FILE (a release's .tar.gz) is published first.\n\nIt waits for the end and shows every step; what it waits for goes on when it is interrupted.",
		Args:              arguments("APP", "[VERSION|FILE]"),
		ValidArgsFunction: c.completeApps,
		Example:           "  beamkeeper deploy shop\n  beamkeeper deploy shop 1.4.0\n  beamkeeper deploy shop _build/prod/shop-1.4.0.tar.gz",
	}
	asJSON := jsonFlag(cmd)
	cmd.Flags().Bool("wait", true, "wait for the end (the default)")
	detach := cmd.Flags().Bool("detach", false, "return as soon as the deployment has begun")
	timeout := cmd.Flags().Duration("timeout", 0, "wait no longer than that; the deployment goes on (exit code 7)")
	force := forceFlag(cmd)
	kind := kindFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if wait, _ := cmd.Flags().GetBool("wait"); !wait {
			*detach = true
		} else if *detach && cmd.Flags().Changed("wait") {
			return api.Errorf(api.CodeUsage, "--wait and --detach exclude each other")
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		req := api.DeployRequest{App: args[0], Force: *force}
		if req.Kind, err = kind(); err != nil {
			return err
		}
		if len(args) > 1 {
			if req.Version, err = c.versionOrFile(cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
		}
		asked := time.Now().Truncate(time.Millisecond)
		began, err := d.Deploy(cmd.Context(), req)
		if err != nil {
			return err
		}
		if began.Outcome == api.DeploymentSucceeded && began.EndedAt.Before(asked) {
			return c.printThere(began, *asJSON)
		}
		if *detach {
			return c.printBegun(began, *asJSON)
		}
		return c.follow(cmd.Context(), d, began.ID, *timeout, *asJSON)
	}
	return cmd
}

// versionOrFile returns the version to deploy. An argument that is a file is published to the local bucket first.
func (c *cli) versionOrFile(ctx context.Context, app, arg string) (string, error) {
	if isFile, err := isArchive(arg); !isFile || err != nil {
		return arg, err
	}
	p, err := c.publish(ctx, publishing{app: app, file: arg})
	if err != nil {
		return "", err
	}
	fmt.Fprintf(c.err, "published %s %s\n", app, p.Current.Version)
	return p.Current.Version, nil
}

// printThere says that there is nothing to do: d has brought the version before.
func (c *cli) printThere(d api.Deployment, asJSON bool) error {
	if asJSON {
		return printJSON(c.out, d)
	}
	fmt.Fprintf(c.out, "%s is at %s already: deployment %s brought it %s ago\n", d.App, d.To, d.ID, since(d.EndedAt))
	return nil
}

func (c *cli) printBegun(d api.Deployment, asJSON bool) error {
	if asJSON {
		return printJSON(c.out, d)
	}
	fmt.Fprintf(c.out, "%s\n", d.ID)
	fmt.Fprintf(c.err, "deployment %s of %s to %s has begun; watch it with \"beamkeeper deployment watch %s\"\n", d.ID, d.App, d.To, d.ID)
	return nil
}

// follow shows a deployment's progress until it ends, and turns its outcome into the exit code.
func (c *cli) follow(ctx context.Context, control api.Control, id string, timeout time.Duration, asJSON bool) error {
	return c.followTo(ctx, control, id, api.DeploymentSucceeded, timeout, asJSON)
}

// followTo is follow for whom another outcome is good too.
func (c *cli) followTo(ctx context.Context, control api.Control, id, good string, timeout time.Duration, asJSON bool) error {
	d, err := c.watchDeployment(ctx, control, id, timeout)
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(c.out, d); err != nil {
			return err
		}
	} else if d.Outcome == api.DeploymentSucceeded || d.Outcome == good {
		fmt.Fprintln(c.out, deploymentLine(d))
	}
	if d.Outcome == good {
		return nil
	}
	return c.outcome(d)
}

// outcome is nil for a deployment that succeeded. For another it tells what happened, why, and what to do.
func (c *cli) outcome(d api.Deployment) error {
	if d.Outcome == api.DeploymentSucceeded {
		return nil
	}
	e := api.Errorf(api.CodeFailed, "%s", deploymentLine(d))
	switch d.Outcome {
	case api.DeploymentSuperseded:
		e.Hint = fmt.Sprintf("a newer wish replaced it; see \"beamkeeper deployment list %s\"", d.App)
		return e
	case api.DeploymentAborted, api.DeploymentReverted:
		return e
	case api.DeploymentRefused:
		e.Code = api.CodeRefused
		e.Message = fmt.Sprintf("version %s of %s is refused, and nothing was changed: %s", d.To, d.App, strings.TrimPrefix(printable(d.Error), "it is refused: "))
		e.Hint = fmt.Sprintf("beamkeeper plan %s %s has the reasons one by one", d.App, d.To)
		return e
	}
	for _, i := range d.Instances {
		for _, st := range i.Steps {
			if st.Error != "" && !strings.Contains(d.Error, st.Error) {
				e.Message += fmt.Sprintf("\n%s stopped at step %q after %s: %s", i.Name, st.Name, stepAge(st), brief(st.Error))
			}
		}
	}
	for _, st := range d.Steps {
		if st.Error != "" && !strings.Contains(d.Error, st.Error) { // else it was said already
			e.Message += fmt.Sprintf("\nstep %q failed: %s", st.Name, brief(st.Error))
		}
	}
	if len(d.LogTail) > 0 {
		e.Message += "\nthe last lines of its log:"
		for _, l := range d.LogTail {
			e.Message += "\n| " + printable(l)
		}
	}
	e.Hint = failureHint(d)
	return e
}

// failedInstance is the first instance with a step that failed.
func failedInstance(d api.Deployment) string {
	for _, i := range d.Instances {
		for _, st := range i.Steps {
			if st.Error != "" {
				return i.Name
			}
		}
	}
	return ""
}

func failureHint(d api.Deployment) string {
	var s strings.Builder
	if d.From != "" {
		fmt.Fprintf(&s, "%s was not stopped and goes on. ", d.From)
	}
	fmt.Fprintf(&s, "%s is not tried again by itself: mend it and publish a new version, or ask again with \"beamkeeper deploy %s %s --force\".", d.To, d.App, d.To)
	if i := failedInstance(d); i != "" && len(d.LogTail) > 0 {
		fmt.Fprintf(&s, "\nMore of the log: \"beamkeeper logs %s/%s\"", d.App, i)
	}
	return s.String()
}
