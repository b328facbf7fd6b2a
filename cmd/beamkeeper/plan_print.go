package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

// inWords are verdicts for people.
var inWords = map[string]string{
	release.Hot:     "the running VMs can take it, with their processes and their state",
	release.Full:    "new instances replace the old ones",
	release.Refused: "it is not deployed",
	release.Same:    "there is nothing to do",
}

func printPlan(w io.Writer, p api.Plan) error {
	fmt.Fprintf(w, "%s %s → %s", p.App, or(p.From, "nothing"), or(p.To, "?"))
	if p.File != "" {
		fmt.Fprintf(w, " (%s)", printable(p.File))
	}
	fmt.Fprintf(w, "\n\n%s: %s\n", p.Verdict, inWords[p.Verdict])
	for i, r := range p.Reasons {
		fmt.Fprintf(w, "  %d. %s\n", i+1, printable(r.What))
		if r.Remedy != "" {
			fmt.Fprintf(w, "     → %s\n", printable(r.Remedy))
		}
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "  note: %s\n", printable(n))
	}
	if err := printChanges(w, p.Changes); err != nil {
		return err
	}
	if len(p.Holds) > 0 {
		fmt.Fprintf(w, "\nnot now:\n")
	}
	for _, h := range p.Holds {
		fmt.Fprintf(w, "  %s\n", printable(h.What))
		remedy := h.Remedy
		if h.Forcible {
			remedy = strings.TrimPrefix(remedy+"; ", "; ") + "--force does it all the same"
		}
		if remedy != "" {
			fmt.Fprintf(w, "    → %s\n", printable(remedy))
		}
	}
	if len(p.Steps) > 0 {
		fmt.Fprintf(w, "\nbeamkeeper deploy %s%s would do, in this order (%s):\n", p.App, strings.TrimRight(" "+or(p.File, p.To), " "), p.Kind)
		t := newTable(w)
		for i, st := range p.Steps {
			t.row(fmt.Sprintf("  %2d", i+1), st.Name, or(st.Instance, "-"), printable(st.Detail))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return printPlanInstances(w, p.Instances)
}

// printChanges shows what differs, as release diff does.
func printChanges(w io.Writer, changes json.RawMessage) error {
	var d release.Comparison
	if len(changes) == 0 || json.Unmarshal(changes, &d) != nil {
		return nil
	}
	if len(d.Apps)+len(d.Config.Added)+len(d.Config.Changed)+len(d.Config.Removed) == 0 && d.ERTS == nil {
		return nil
	}
	fmt.Fprintln(w, "\nwhat differs:")
	return printDifferences(w, d)
}

func printPlanInstances(w io.Writer, list []api.PlanInstance) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\ninstances:\n")
	t := newTable(w)
	for _, i := range list {
		cells := []any{"  " + i.Name, i.Version, i.State}
		if l := i.Live; l != nil {
			cells = append(cells, "runs "+l.Version+releases(l), fmt.Sprintf("%d processes, %s", l.Processes, size(l.MemoryBytes)), size(l.DiskFreeBytes)+" of disk free")
		} else if i.Error != "" {
			cells = append(cells, printable(brief(i.Error)))
		}
		t.row(cells...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, i := range list {
		if i.Live == nil {
			continue
		}
		for _, p := range i.Live.OldCode {
			fmt.Fprintf(w, "  %s: %s is in the old code of %s\n", i.Name, processName(p), printable(strings.Join(p.Modules, ", ")))
		}
		for _, p := range i.Live.Unresponsive {
			fmt.Fprintf(w, "  %s: %s %s\n", i.Name, processName(p), printable(p.Why))
		}
	}
	return nil
}

// releases are those that release_handler knows beside the one that runs.
func releases(l *api.PlanLive) string {
	if !l.ReleaseHandler {
		return ", without release_handler"
	}
	var all []string
	for _, r := range l.Releases {
		all = append(all, r.Version+" "+r.Status)
	}
	return " (release_handler: " + or(strings.Join(all, ", "), "nothing") + ")"
}

func processName(p api.PlanProcess) string {
	s := p.Pid
	if name := or(p.Name, p.Call); name != "" {
		s += " " + printable(name)
	}
	if p.App != "" {
		s += " of " + printable(p.App)
	}
	return s
}
