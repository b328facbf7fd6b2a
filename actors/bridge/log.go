package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"ergo.services/ergo/gen"
)

// slogLogger passes what Ergo logs to a slog.Logger. Ergo calls Log on the goroutine that logs, which for a
// panic is the deferred function of the panicking one, so that the stack still shows where it happened.
type slogLogger struct {
	log *slog.Logger
}

func (l slogLogger) Log(m gen.MessageLog) {
	level := slogLevel(m.Level)
	if level == slog.LevelInfo {
		switch m.Source.(type) {
		case gen.MessageLogNode, gen.MessageLogNetwork:
			level = slog.LevelDebug // "node started", "new connection with …": ours to say
		}
	}
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 4+len(m.Fields))
	switch src := m.Source.(type) {
	case gen.MessageLogProcess:
		attrs = append(attrs, slog.String("actor", src.Behavior), slog.String("pid", src.PID.String()))
		if src.Name != "" {
			attrs = append(attrs, slog.String("name", string(src.Name)))
		}
	case gen.MessageLogMeta:
		attrs = append(attrs, slog.String("actor", src.Behavior), slog.String("pid", src.Parent.String()))
	case gen.MessageLogNetwork:
		attrs = append(attrs, slog.String("peer", string(src.Peer)))
	}
	for _, f := range m.Fields {
		attrs = append(attrs, slog.Any(f.Name, f.Value))
	}
	if m.Level == gen.LogLevelPanic {
		attrs = append(attrs, slog.String("stack", string(debug.Stack())))
	}
	l.log.LogAttrs(ctx, level, fmt.Sprintf(m.Format, m.Args...), attrs...)
}

// Terminate is called when the Ergo node stops; the slog.Logger stays its owner's.
func (slogLogger) Terminate() {}

func slogLevel(l gen.LogLevel) slog.Level {
	switch {
	case l <= gen.LogLevelTrace:
		return slog.LevelDebug - 4
	case l <= gen.LogLevelDebug:
		return slog.LevelDebug
	case l <= gen.LogLevelInfo:
		return slog.LevelInfo
	case l <= gen.LogLevelWarning:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}
