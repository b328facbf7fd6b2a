package actors

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

// tellDownloadEvery is how often a download that takes long is an event. Quicker ones are none.
const tellDownloadEvery = 10 * time.Second

// downloads are those under way, by the deployment that they are for. They are not written down: a daemon that is
// started again begins anew.
type downloads struct {
	mu    sync.Mutex
	under map[string]string // what is said of the step fetch
}

func (d *downloads) put(deployment, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.under == nil {
		d.under = make(map[string]string)
	}
	d.under[deployment] = text
}

func (d *downloads) remove(deployment string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.under, deployment)
}

// into adds how far the download has come to a deployment that is being shown.
func (d *downloads) into(dep *api.Deployment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, ok := d.under[dep.ID]
	if n := len(dep.Steps); ok && n > 0 && dep.Steps[n-1].Name == "fetch" && dep.Steps[n-1].EndedAt.IsZero() {
		dep.Steps[n-1].Detail = text
	}
}

// toldDownload gives a context with which a fetch tells how far it has come; done ends that.
func (s *System) toldDownload(ctx context.Context, deployment, app, version string) (_ context.Context, done func()) {
	t := &downloadTale{sys: s, deployment: deployment, app: app, version: version, began: time.Now()}
	t.told = t.began
	return release.WithFetchProgress(ctx, t.tell), func() { s.downloads.remove(deployment) }
}

// downloadTale tells of one download.
type downloadTale struct {
	sys                      *System
	deployment, app, version string
	began, told              time.Time
}

func (t *downloadTale) tell(p release.FetchProgress) {
	text := downloadText(p, time.Since(t.began))
	t.sys.downloads.put(t.deployment, text)
	e := api.Event{
		Type: api.EventDownload, App: t.app, Version: t.version, Deployment: t.deployment, Message: "downloading " + t.app + " " + t.version + ": " + text,
		Data: map[string]any{"done_bytes": p.Done, "total_bytes": p.Total, "resumed": p.Resumed, "restarts": p.Restarts, "from": p.Location},
	}
	switch {
	case p.Err != nil:
		e.Level, e.Data["error"] = "warning", p.Err.Error()
	case time.Since(t.told) < tellDownloadEvery:
		return
	}
	t.told = time.Now()
	t.sys.emit(e)
}

// downloadText is "37%: 758 of 2048 MiB, 52.1 MiB/s".
func downloadText(p release.FetchProgress, took time.Duration) string {
	const mib = 1 << 20
	text := fmt.Sprintf("%.1f MiB", float64(p.Done)/mib)
	if p.Total > 0 {
		text = fmt.Sprintf("%d%%: %.1f of %.1f MiB", p.Done*100/p.Total, float64(p.Done)/mib, float64(p.Total)/mib)
	}
	if s := took.Seconds(); s >= 1 {
		text += fmt.Sprintf(", %.1f MiB/s", float64(p.Done)/mib/s)
	}
	if p.Resumed > 0 {
		text += fmt.Sprintf(", gone on after a cut %d times", p.Resumed)
	}
	if p.Err != nil {
		text += ", waiting: " + p.Err.Error()
	}
	return text
}
