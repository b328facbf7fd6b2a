package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

const (
	// progressInterval is how often a deployment is looked at.
	progressInterval = 100 * time.Millisecond
	// awayPatience is how long the daemon may be away, for instance because it is upgraded, while somebody waits.
	awayPatience = 30 * time.Second
)

// watchDeployment shows the steps of a deployment until it ends. Timeout 0 is none.
func (c *cli) watchDeployment(ctx context.Context, control api.Control, id string, timeout time.Duration) (api.Deployment, error) {
	var deadline <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	show := newProgress(c.err)
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	var d api.Deployment
	var away time.Time
	for {
		now, err := control.Deployment(ctx, id)
		var e *api.Error
		switch {
		case err == nil:
			d, away = now, time.Time{}
			show.update(d)
		case ctx.Err() != nil:
			return d, goesOn("interrupted", id)
		case !errors.As(err, &e) || e.Code != api.CodeUnreachable:
			return d, err
		case away.IsZero():
			away = time.Now()
			show.note("the daemon is away; waiting for it to come back")
		case time.Since(away) > awayPatience:
			return d, err
		}
		if err == nil && d.Outcome != api.DeploymentRunning {
			return d, nil
		}
		select {
		case <-ctx.Done():
			return d, goesOn("interrupted", id)
		case <-deadline:
			return d, goesOn(fmt.Sprintf("not finished within %s", timeout), id)
		case <-ticker.C:
		}
	}
}

func goesOn(why, id string) error {
	return &api.Error{Code: api.CodeTimeout, Message: why + "; the deployment goes on",
		Hint: fmt.Sprintf("watch it with \"beamkeeper deployment watch %s\", stop it with \"beamkeeper deployment abort %s\"", id, id)}
}

// progress shows a deployment as it goes on.
type progress interface {
	update(d api.Deployment)
	note(text string)
}

func newProgress(w io.Writer) progress {
	if width, ok := terminal(w); ok {
		return &liveProgress{lines: liveLines{w: w, width: width}}
	}
	return &plainProgress{w: w, seen: make(map[string]bool)}
}

// plainProgress writes one line, with the time, for each step that begins, ends or fails.
type plainProgress struct {
	w    io.Writer
	seen map[string]bool
	news []timedLine // of this update
}

type timedLine struct {
	at   time.Time
	text string
}

func (p *plainProgress) update(d api.Deployment) {
	p.once(d.StartedAt, "begun", d.App, "deployment %s to %s (from %s)", d.ID, d.To, or(d.From, "nothing"))
	p.steps(d.App, d.Steps)
	for _, i := range d.Instances {
		p.steps(i.Name, i.Steps)
	}
	slices.SortStableFunc(p.news, func(a, b timedLine) int { return a.at.Compare(b.at) })
	for _, l := range p.news {
		fmt.Fprintf(p.w, "%s %s\n", l.at.Local().Format("15:04:05.000"), l.text)
	}
	p.news = nil
}

func (p *plainProgress) steps(who string, steps []api.DeploymentStep) {
	for n, st := range steps {
		key := fmt.Sprintf("%s %d %s", who, n, st.Name)
		if st.EndedAt.IsZero() {
			p.once(st.StartedAt, key+" begun", who, "%s …", st.Name)
			if percent, _, ok := strings.Cut(st.Detail, "%"); ok && len(percent) == 2 { // of a download: a line for each tenth
				p.once(api.Time{Time: time.Now()}, key+percent[:1], who, "%s …%s", st.Name, detail(st))
			}
			continue
		}
		p.seen[key+" begun"] = true
		if st.Error != "" {
			p.once(st.EndedAt, key+" ended", who, "%s failed after %s: %s", st.Name, stepAge(st), brief(st.Error))
			continue
		}
		p.once(st.EndedAt, key+" ended", who, "%s %s%s", st.Name, stepAge(st), detail(st))
	}
}

func (p *plainProgress) once(at api.Time, key, who, format string, args ...any) {
	if p.seen[key] {
		return
	}
	p.seen[key] = true
	p.news = append(p.news, timedLine{at: at.Time, text: who + " " + fmt.Sprintf(format, args...)})
}

func (p *plainProgress) note(text string) {
	fmt.Fprintf(p.w, "%s %s\n", time.Now().Format("15:04:05.000"), text)
}

// liveProgress keeps one line for the deployment and one for each instance, written over in place.
type liveProgress struct {
	lines liveLines
	last  api.Deployment
}

func (p *liveProgress) update(d api.Deployment) {
	p.last = d
	p.lines.draw(progressLines(d))
}

func (p *liveProgress) note(text string) { p.lines.draw(append(progressLines(p.last), text)) }

// liveLines are the last lines of a terminal, written over in place.
type liveLines struct {
	w     io.Writer
	width int
	drawn int
}

func (l *liveLines) draw(lines []string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.drawn) // up
	}
	b.WriteString("\r\x1b[J") // clear to the end of the screen
	for _, line := range lines {
		b.WriteString(cut(line, l.width-1))
		b.WriteByte('\n')
	}
	l.drawn = len(lines)
	_, _ = io.WriteString(l.w, b.String()) // a terminal that went away: the wait goes on
}

// progressLines are the lines of a deployment: what it does as a whole, then each instance.
func progressLines(d api.Deployment) []string {
	lines := []string{fmt.Sprintf("%s %s → %s  %s  %s", d.App, or(d.From, "nothing"), d.To, currentStep(d.Steps), took(d))}
	width := 0
	for _, i := range d.Instances {
		width = max(width, len(i.Name))
	}
	for _, i := range d.Instances {
		lines = append(lines, fmt.Sprintf("  %-*s  %s", width, i.Name, currentStep(i.Steps)))
	}
	return lines
}

// took is how long a deployment took, or has been going on for.
func took(d api.Deployment) string { return between(d.StartedAt, d.EndedAt) }

// between is the time from one point to another, or to now when that has not come.
func between(start, end api.Time) string {
	if start.IsZero() {
		return "-"
	}
	if end.IsZero() {
		end.Time = time.Now()
	}
	return duration(end.Sub(start.Time))
}

// currentStep is the step under way with its age, or the last one with its duration.
func currentStep(steps []api.DeploymentStep) string {
	if len(steps) == 0 {
		return "waiting"
	}
	st := steps[len(steps)-1]
	switch {
	case st.Error != "":
		return fmt.Sprintf("%s failed after %s: %s", st.Name, stepAge(st), brief(st.Error))
	case st.EndedAt.IsZero():
		return fmt.Sprintf("%s … %s%s", st.Name, stepAge(st), detail(st))
	}
	return fmt.Sprintf("%s done %s%s", st.Name, stepAge(st), detail(st))
}

func detail(st api.DeploymentStep) string {
	if st.Detail == "" {
		return ""
	}
	return " (" + printable(st.Detail) + ")"
}

func stepAge(st api.DeploymentStep) string { return between(st.StartedAt, st.EndedAt) }

// briefLen is how much of a reason is shown on a line; crash slogans may have thousands of characters.
const briefLen = 300

// brief is a reason for one line.
func brief(s string) string { return cut(printable(s), briefLen) }

// cut shortens a line to n characters.
func cut(s string, n int) string {
	r := []rune(s)
	if n < 1 || len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
