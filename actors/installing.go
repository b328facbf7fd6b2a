package actors

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
)

// installing is how far the installations under way are, by instance. It is not written down: a daemon that is started
// again looks anew.
type installing struct {
	mu    sync.Mutex
	under map[string]string
}

func (i *installing) put(instance, text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.under == nil {
		i.under = make(map[string]string)
	}
	i.under[instance] = text
}

func (i *installing) remove(instance string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.under, instance)
}

// into adds how far the installations are to a deployment that is being shown.
func (i *installing) into(d *api.Deployment) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range d.Instances {
		steps := d.Instances[n].Steps
		text, ok := i.under[d.Instances[n].Name]
		if last := len(steps) - 1; ok && last >= 0 && steps[last].EndedAt.IsZero() && (steps[last].Name == stepInstall || steps[last].Name == stepRevert) {
			steps[last].Detail = text
		}
	}
}

// progressText is "12s: code_change, 40 processes suspended, waits for <0.123.0> (shop_cart)".
func progressText(p upgrade.Progress) string {
	var parts []string
	if p.Doing != "" {
		parts = append(parts, p.Doing)
	}
	if p.Suspended > 0 {
		parts = append(parts, fmt.Sprintf("%d processes suspended", p.Suspended))
	}
	if w := p.Waiting; w != nil {
		text := "waits for " + w.Pid
		if name := firstOf(w.Name, w.Call); name != "" {
			text += " (" + name + ")"
		}
		parts = append(parts, text)
	}
	if p.Link != nil {
		parts = append(parts, "not connected at the moment: "+p.Link.Error())
	}
	if len(parts) == 0 {
		parts = append(parts, "under way")
	}
	return p.For.Round(time.Second).String() + ": " + strings.Join(parts, ", ")
}
