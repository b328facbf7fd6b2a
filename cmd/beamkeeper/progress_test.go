package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestLiveProgress_WritesOverItsOwnLines(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	d, err := f.Deploy(t.Context(), api.DeployRequest{App: "sample", Version: "0.2.0"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	p := &liveProgress{lines: liveLines{w: &b, width: 60}}
	var frames []string
	for range 4 {
		if d, err = f.Deployment(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		p.update(d)
		frames = append(frames, b.String())
	}
	if !strings.HasPrefix(frames[0], "\r\x1b[Jsample 0.1.0 → 0.2.0  fetch … ") {
		t.Errorf("first frame %q", frames[0])
	}
	if !strings.HasPrefix(frames[2], "\x1b[2A\r\x1b[J") || !strings.Contains(frames[2], "\n  sample-new111  application … ") {
		t.Errorf("third frame %q, want two lines up and the instance's step", frames[2])
	}
	if !strings.Contains(frames[3], "application done 0.6s") {
		t.Errorf("last frame %q", frames[3])
	}
	for _, l := range strings.Split(frames[3], "\n") {
		if n := len([]rune(strings.TrimPrefix(l, "\x1b[2A\r\x1b[J"))); n > 59 {
			t.Errorf("line of %d characters on a terminal of 60: %q", n, l)
		}
	}
}

func TestPlainProgress_SaysEachThingOnce(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	d, err := f.Deploy(t.Context(), api.DeployRequest{App: "sample", Version: "bad"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	p := newProgress(&b)
	for range 8 {
		if d, err = f.Deployment(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
		p.update(d)
	}
	var got []string
	for _, l := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		at, rest, _ := strings.Cut(l, " ")
		if _, err := time.Parse("15:04:05.000", at); err != nil {
			t.Errorf("line %q has no time: %v", l, err)
		}
		got = append(got, rest)
	}
	want := []string{
		"sample deployment d0000001 to bad (from 0.1.0)", "sample fetch …", "sample fetch 0.1s", "sample unpack 0.2s",
		"sample-new111 start …", "sample-new111 start 0.1s", "sample-new111 node 0.5s", "sample-new111 application …",
		"sample-new111 application failed after 1m00s: not started within 60 s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// awayControl cannot be reached for the first calls.
type awayControl struct {
	*fakeControl
	away int
}

func (a *awayControl) Deployment(ctx context.Context, id string) (api.Deployment, error) {
	if a.away > 0 {
		a.away--
		return api.Deployment{}, api.Errorf(api.CodeUnreachable, "nobody there")
	}
	return a.fakeControl.Deployment(ctx, id)
}

func TestWatchDeployment_OutlastsARestartOfTheDaemon(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	d, _ := f.Deploy(t.Context(), api.DeployRequest{App: "sample"})
	var b bytes.Buffer
	c := newCLI(nil, nil, &b, nil)
	got, err := c.watchDeployment(t.Context(), &awayControl{fakeControl: f, away: 3}, d.ID, 0)
	if err != nil || got.Outcome != api.DeploymentSucceeded || strings.Count(b.String(), "the daemon is away") != 1 {
		t.Errorf("got %s, %v, progress %q", got.Outcome, err, b.String())
	}
}

func TestWatchDeployment_InterruptedItGoesOn(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	d, _ := f.Deploy(t.Context(), api.DeployRequest{App: "sample", Version: "slow"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newCLI(nil, nil, &bytes.Buffer{}, nil).watchDeployment(ctx, f, d.ID, 0)
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeTimeout || !strings.Contains(e.Message, "interrupted; the deployment goes on") {
		t.Errorf("err = %#v", err)
	}
}
