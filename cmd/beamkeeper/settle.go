package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// modeStopped is the mode of an app that an operator stopped.
const modeStopped = "stopped"

// waiting is whether and how long a verb waits for the instances.
type waiting struct {
	detach  bool
	timeout time.Duration
}

func waitFlags(cmd *cobra.Command) *waiting {
	var w waiting
	cmd.Flags().BoolVar(&w.detach, "detach", false, "return as soon as it is accepted")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "wait no longer than that; it goes on (exit code 7)")
	return &w
}

// settling is what a verb waits for: that the instances of an app, or one of them, run as they are wished.
type settling struct {
	app      string
	instance string // empty: all
	doing    string
	done     string

	before api.App // what was before
	fresh  bool    // no OS process of before may be left
}

// over reports whether a is as wished. An error says why it will not be.
func (s settling) over(c *cli, a api.App) (bool, error) {
	if d := a.Deployment; d != nil && s.instance == "" && (s.before.Deployment == nil || s.before.Deployment.ID != d.ID) {
		if d.Outcome == api.DeploymentFailed || d.Outcome == api.DeploymentRefused {
			return false, c.outcome(*d)
		}
		if d.Outcome == api.DeploymentRunning {
			return false, nil
		}
	}
	running := 0
	for _, i := range a.Instances {
		switch {
		case s.instance != "" && i.Name != s.instance:
		case i.State == api.StateFailed:
			return false, &api.Error{Code: api.CodeFailed, Message: fmt.Sprintf("%s has failed: %s", i.Name, brief(i.LastError)), Hint: fmt.Sprintf("beamkeeper logs %s/%s", s.app, i.Name)}
		case i.State == api.StateRunning && !(s.fresh && s.had(i.OSPID)):
			running++
		case i.State == api.StateStopped && s.wasStopped(i.Name):
			running++ // it was stopped by itself, and stays so: there is nothing to wait for
		}
	}
	if s.instance != "" {
		return running == 1, nil
	}
	return running == a.Replicas && len(a.Instances) == a.Replicas, nil
}

// had reports whether an instance had this OS process before.
func (s settling) had(pid int) bool {
	return slices.ContainsFunc(s.before.Instances, func(i api.Instance) bool { return i.OSPID == pid })
}

// wasStopped reports whether an instance was stopped before, while its app ran.
func (s settling) wasStopped(name string) bool {
	return s.before.Mode != modeStopped && slices.ContainsFunc(s.before.Instances, func(i api.Instance) bool {
		return i.Name == name && i.State == api.StateStopped
	})
}

// settle waits until it is over, and shows what the instances do.
func (c *cli) settle(ctx context.Context, control api.Control, w waiting, s settling) error {
	if w.detach {
		fmt.Fprintf(c.err, "%s; see \"beamkeeper status %s\"\n", s.doing, s.app)
		return nil
	}
	var deadline <-chan time.Time
	if w.timeout > 0 {
		timer := time.NewTimer(w.timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	show := newInstanceProgress(c.err)
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		a, err := appStatus(ctx, control, s.app)
		if ctx.Err() != nil {
			return stillAt(s.doing, "interrupted", s.app)
		}
		if err != nil {
			return err
		}
		show.update(a.Instances)
		over, err := s.over(c, a)
		if err != nil {
			return err
		}
		if over {
			fmt.Fprintln(c.out, s.done)
			return nil
		}
		select {
		case <-ctx.Done():
			return stillAt(s.doing, "interrupted", s.app)
		case <-deadline:
			return stillAt(s.doing, fmt.Sprintf("not finished within %s", w.timeout), s.app)
		case <-ticker.C:
		}
	}
}

func stillAt(doing, why, app string) error {
	return &api.Error{Code: api.CodeTimeout, Message: fmt.Sprintf("%s: %s; it goes on", doing, why), Hint: strings.TrimSuffix("beamkeeper status "+app, " ") + " --watch"}
}

func appStatus(ctx context.Context, control api.Control, app string) (api.App, error) {
	st, err := control.Status(ctx)
	if err != nil {
		return api.App{}, err
	}
	st, err = onlyApp(st, app)
	if err != nil {
		return api.App{}, err
	}
	return st.Apps[0], nil
}

// instanceProgress shows what instances do: live on a terminal, else one line for each change.
type instanceProgress struct {
	w    io.Writer
	live *liveLines
	last map[string]string
}

func newInstanceProgress(w io.Writer) *instanceProgress {
	p := &instanceProgress{w: w, last: make(map[string]string)}
	if width, ok := terminal(w); ok {
		p.live = &liveLines{w: w, width: width}
	}
	return p
}

func (p *instanceProgress) update(instances []api.Instance) {
	var lines []string
	for _, i := range instances {
		line := fmt.Sprintf("%s %s %s", i.Name, i.State, i.Version)
		if p.live != nil {
			lines = append(lines, line+"  "+waitingStep(i.Readiness))
		} else if p.last[i.Name] != line {
			fmt.Fprintf(p.w, "%s %s\n", time.Now().Format("15:04:05.000"), line)
		}
		p.last[i.Name] = line
	}
	if p.live != nil {
		p.live.draw(lines)
	}
}
