package main

import (
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// limitsText says what an instance may use, "" when there is no limit.
func limitsText(l *api.Limits) string {
	if l == nil {
		return ""
	}
	var parts []string
	add := func(has bool, format string, value any) {
		if has {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	const mib = 1 << 20
	add(l.MemoryMaxBytes > 0, "memory %d MiB", l.MemoryMaxBytes/mib)
	add(l.MemoryHighBytes > 0, "slowed down above %d MiB", l.MemoryHighBytes/mib)
	add(l.CPUQuotaPercent > 0, "cpu %d%%", l.CPUQuotaPercent)
	add(l.TasksMax > 0, "%d tasks", l.TasksMax)
	return strings.Join(parts, ", ")
}
