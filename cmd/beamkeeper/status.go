package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// watchInterval is how often status --watch looks again.
const watchInterval = 500 * time.Millisecond

func (c *cli) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "status [APP]",
		Short:             "Apps, their versions and instances",
		Args:              arguments("[APP]"),
		ValidArgsFunction: c.completeApps,
	}
	asJSON := jsonFlag(cmd)
	watch := cmd.Flags().BoolP("watch", "w", false, "show changes until interrupted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := c.daemon()
		if err != nil {
			return err
		}
		app := ""
		if len(args) > 0 {
			app = args[0]
		}
		look := func(ctx context.Context) (api.Status, error) {
			s, err := d.Status(ctx)
			if err != nil {
				return s, err
			}
			return onlyApp(s, app)
		}
		if *watch {
			return c.watchStatus(cmd.Context(), look, *asJSON)
		}
		s, err := look(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, s)
		}
		return printStatus(c.out, s)
	}
	return cmd
}

// onlyApp leaves the one app in s, or all with an empty name.
func onlyApp(s api.Status, app string) (api.Status, error) {
	if app == "" {
		return s, nil
	}
	i := slices.IndexFunc(s.Apps, func(a api.App) bool { return a.Name == app })
	if i < 0 {
		return s, noSuchApp(app, appNames(s))
	}
	s.Apps = s.Apps[i : i+1]
	return s, nil
}

func appNames(s api.Status) []string {
	names := make([]string, len(s.Apps))
	for i, a := range s.Apps {
		names[i] = a.Name
	}
	return names
}

func noSuchApp(app string, known []string) error {
	e := api.Errorf(api.CodeNotFound, "there is no app %q", app)
	e.Hint = "the configuration has no apps"
	if len(known) > 0 {
		e.Hint = "the apps are " + strings.Join(known, ", ")
	}
	return e
}

func (c *cli) watchStatus(ctx context.Context, look func(context.Context) (api.Status, error), asJSON bool) error {
	_, live := terminal(c.out)
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	last := ""
	for {
		s, err := look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		changed := fingerprint(s) != last
		last = fingerprint(s)
		switch {
		case asJSON && changed:
			err = printJSONLine(c.out, s)
		case !asJSON && live:
			var b bytes.Buffer
			b.WriteString("\x1b[H\x1b[2J") // to the top left, and clear
			if err = printStatus(&b, s); err == nil {
				_, err = c.out.Write(b.Bytes())
			}
		case !asJSON && changed:
			fmt.Fprintf(c.out, "%s\n", time.Now().Format("15:04:05.000"))
			err = printStatus(c.out, s)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// fingerprint is the same for two statuses that differ in ages alone.
func fingerprint(s api.Status) string {
	var b strings.Builder
	for _, a := range s.Apps {
		fmt.Fprint(&b, a.Name, a.Mode, a.DesiredVersion, a.Ghosted, a.Replicas, len(a.Problems))
		if a.Waiting != nil {
			fmt.Fprint(&b, a.Waiting.Version, a.Waiting.Until)
		}
		if a.Deployment != nil {
			fmt.Fprint(&b, a.Deployment.ID, a.Deployment.Outcome)
		}
		for _, i := range a.Instances {
			fmt.Fprint(&b, i.Name, i.State, i.Version, i.OSPID, i.OTPConnected, i.CrashRestarts, i.ForcedRestarts, i.LastError, i.Sees, i.OldSettings)
			for _, st := range i.Readiness {
				fmt.Fprint(&b, st.Name, st.State, st.Detail)
			}
		}
	}
	fmt.Fprint(&b, len(s.Problems))
	return b.String()
}

func printStatus(w io.Writer, s api.Status) error {
	fmt.Fprintf(w, "%s  beamkeeper %s  up %s\n", s.Node, s.Version, since(s.StartedAt))
	printProblems(w, "", s.Problems)
	if len(s.Apps) == 0 {
		fmt.Fprintln(w, "\nno apps in the configuration")
	}
	for _, a := range s.Apps {
		fmt.Fprintf(w, "\n%s  %s\n", a.Name, summary(a))
		if err := printInstances(w, a.Instances); err != nil {
			return err
		}
		if text := limitsText(a.Limits); text != "" {
			fmt.Fprintf(w, "  limits of each: %s\n", text)
		}
		if d := a.Deployment; d != nil {
			fmt.Fprintf(w, "  %s\n", deploymentLine(*d))
		}
		if a.Waiting != nil {
			fmt.Fprintf(w, "  %s waits %s (allow_deploys: %s); beamkeeper deploy %s --force does not\n", a.Waiting.Version, waitsUntil(a.Waiting.Until), a.Waiting.Windows, a.Name)
		}
		printProblems(w, "  ", a.Problems)
	}
	return nil
}

// waitsUntil says in words when something that waits goes on. Weeks are what people think in here, so the day has its name.
func waitsUntil(t api.Time) string {
	if t.IsZero() {
		return "for ever"
	}
	return "until " + t.Local().Format("Mon 2006-01-02 15:04 MST")
}

// summary is the one line that says how an app is.
func summary(a api.App) string {
	running := 0
	for _, i := range a.Instances {
		if i.State == api.StateRunning {
			running++
		}
	}
	s := fmt.Sprintf("%s  %s  %d/%d running", a.Language, versions(a), running, a.Replicas)
	if a.Mode != "automatic" {
		s += "  " + a.Mode
	}
	if len(a.Ghosted) > 0 {
		s += "  ghosted: " + strings.Join(a.Ghosted, ", ")
	}
	return s
}

// versions is what the app should be at and, where that is something else, what runs.
func versions(a api.App) string {
	var run []string
	for _, i := range a.Instances {
		if i.State == api.StateRunning && !slices.Contains(run, i.Version) {
			run = append(run, i.Version)
		}
	}
	if len(run) == 0 || len(run) == 1 && run[0] == a.DesiredVersion {
		return or(a.DesiredVersion, "no version yet")
	}
	slices.Sort(run)
	return fmt.Sprintf("%s (wanted: %s)", strings.Join(run, ", "), or(a.DesiredVersion, "none"))
}

func printInstances(w io.Writer, instances []api.Instance) error {
	instances = slices.Clone(instances)
	slices.SortStableFunc(instances, func(a, b api.Instance) int { return cmp.Compare(a.Slot, b.Slot) })
	t := newTable(w)
	for _, i := range instances {
		t.row("  "+i.Name, i.State, or(i.Version, "-"), since(i.StartedAt), osPID(i.OSPID), ports(i.Ports), remarks(i))
	}
	return t.flush()
}

func osPID(pid int) string {
	if pid == 0 {
		return "-"
	}
	return fmt.Sprintf("pid %d", pid)
}

func ports(m map[string]int) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s=%d", k, m[k])
	}
	return strings.Join(keys, " ")
}

// remarks is what is worth knowing of an instance beyond its state.
func remarks(i api.Instance) string {
	var parts []string
	if i.OTPConnected {
		if i.OTPRelease != "" {
			parts = append(parts, "OTP "+i.OTPRelease)
		}
	} else if i.State == api.StateRunning {
		parts = append(parts, "not connected")
	}
	if i.Sees != nil && i.State == api.StateRunning {
		parts = append(parts, siblings(i.Sees))
	}
	if i.OldSettings {
		parts = append(parts, "old settings")
	}
	if i.CrashRestarts > 0 {
		parts = append(parts, plural(i.CrashRestarts, "crash restart"))
	}
	if i.ForcedRestarts > 0 {
		parts = append(parts, plural(i.ForcedRestarts, "forced restart"))
	}
	if i.State == api.StateBackoff && !i.RetryAt.IsZero() {
		parts = append(parts, "again in "+duration(time.Until(i.RetryAt.Time)))
	}
	if i.State != api.StateRunning {
		if st := waitingStep(i.Readiness); st != "" {
			parts = append(parts, st)
		}
		if i.LastError != "" {
			parts = append(parts, brief(i.LastError))
		}
	}
	return strings.Join(parts, ", ")
}

// siblings says which siblings an instance of a mesh sees; of many, how many.
func siblings(sees []string) string {
	const most = 4
	switch n := len(sees); {
	case n == 0:
		return "sees no sibling"
	case n > most:
		return fmt.Sprintf("sees %d siblings", n)
	}
	return "sees " + strings.Join(sees, " ")
}

// waitingStep is the first step of the readiness chain that has not passed, with its age.
func waitingStep(steps []api.Step) string {
	for _, st := range steps {
		if st.State == "passed" || st.State == "skipped" {
			continue
		}
		s := fmt.Sprintf("%s %s %s", st.Name, st.State, duration(time.Duration(st.AgeMS)*time.Millisecond))
		if st.Detail != "" {
			s += " (" + printable(st.Detail) + ")"
		}
		return s
	}
	return ""
}

func printProblems(w io.Writer, indent string, ps []api.Problem) {
	for _, p := range ps {
		fmt.Fprintf(w, "%s! %s (for %s)\n", indent, printable(p.What), since(p.Since))
		if p.Remedy != "" {
			fmt.Fprintf(w, "%s  → %s\n", indent, printable(p.Remedy))
		}
	}
}
