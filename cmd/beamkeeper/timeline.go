package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// askedBy is who asked for a deployment, and how when that does not say it.
func askedBy(d api.Deployment) string {
	if who := or(d.By, d.Author); who != "" {
		return who + " (" + d.Trigger + ")"
	}
	return d.Trigger
}

// phase is one step of a deployment, or of one of its instances.
type phase struct {
	who string
	api.DeploymentStep
}

// timeline has the steps of a deployment in the order in which they began.
func timeline(d api.Deployment) (list []phase) {
	add := func(who string, steps []api.DeploymentStep) {
		for _, st := range steps {
			list = append(list, phase{who, st})
		}
	}
	add(d.App, d.Steps)
	for _, i := range d.Instances {
		add(i.Name, i.Steps)
	}
	slices.SortStableFunc(list, func(a, b phase) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	return list
}

// name is what the step is called: with what it ran, if it ran something.
func (p phase) name() string {
	if p.Command != "" {
		return p.Name + " " + printable(brief(p.Command))
	}
	return p.Name
}

// state is how it ended.
func (p phase) state() string {
	switch {
	case p.Error != "":
		return "failed"
	case p.EndedAt.IsZero():
		return "under way"
	}
	return "done"
}

// evidence are the lines that say more of it.
func (p phase) evidence() (lines []string) {
	if p.Error != "" {
		lines = append(lines, printable(brief(p.Error)))
	}
	for _, part := range strings.Split(p.Detail, "; ") {
		if part != "" {
			lines = append(lines, printable(part))
		}
	}
	if p.ExitCode != nil && *p.ExitCode != 0 {
		lines = append(lines, fmt.Sprintf("exit code %d", *p.ExitCode))
	}
	for _, l := range p.Output {
		lines = append(lines, "| "+printable(l))
	}
	return lines
}

// printDeployment shows a deployment as a timeline: each phase with its start, how long it took, and below it what it has to
// show.
func printDeployment(w io.Writer, d api.Deployment) error {
	fmt.Fprintln(w, deploymentLine(d))
	kind := d.Kind
	if d.Why != "" {
		kind += " (" + printable(d.Why) + ")"
	}
	fmt.Fprintf(w, "kind %s, asked for by %s, begun %s\n", kind, askedBy(d), stamp(d.StartedAt))
	for _, i := range d.Instances {
		if i.Replaces != "" {
			fmt.Fprintf(w, "%s replaces %s\n", i.Name, i.Replaces)
		}
	}
	list := timeline(d)
	who, name := 0, 0
	for _, p := range list {
		who, name = max(who, len([]rune(p.who))), max(name, min(len([]rune(p.name())), 40))
	}
	for _, p := range list {
		line := fmt.Sprintf("  %s  %-*s  %-*s  %7s  %s", p.StartedAt.Local().Format("15:04:05.000"), who, p.who, name, p.name(), stepAge(p.DeploymentStep), p.state())
		fmt.Fprintln(w, line)
		for _, l := range p.evidence() {
			fmt.Fprintf(w, "  %14s%s\n", "", l)
		}
	}
	if len(d.LogTail) > 0 {
		fmt.Fprintln(w, "the end of the log:")
	}
	for _, l := range d.LogTail {
		fmt.Fprintf(w, "| %s\n", printable(l))
	}
	return nil
}
