package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/launch"
)

// logPolicy says in the words of package applog how an app's logs and crash dumps are kept.
func logPolicy(a config.App) applog.Policy {
	return applog.Policy{
		MaxBytes: int64(a.Logs.MaxBytes), MaxAge: orNone(a.Logs.MaxAge), Archives: a.Logs.Archives, Bytes: orNone(int64(a.Logs.Bytes)),
		GoneInstances: orNone(a.Logs.GoneInstances), GoneAge: orNone(a.Logs.GoneAge),
		Dumps: a.CrashDump.Keep, DumpBytes: orNone(int64(a.CrashDump.KeepBytes)),
	}
}

// orNone turns the configuration's 0, no limit, into that of package applog.
func orNone[T int | int64 | time.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// logTarget is empty for files, as actors has it.
func logTarget(a config.App) string {
	if a.Logs.Target == "file" {
		return ""
	}
	return a.Logs.Target
}

func dumpLimits(d config.CrashDump) *launch.DumpLimits {
	if !d.Enabled {
		return &launch.DumpLimits{}
	}
	return &launch.DumpLimits{Seconds: int((d.Timeout + time.Second - 1) / time.Second), Bytes: int64(d.MaxBytes)}
}

// logSpace is what must stay free where the logs are.
func logSpace(cfg *config.Config) applog.Space {
	return applog.Space{MinBytes: orNone(int64(cfg.Logs.MinFreeBytes)), MinPercent: orNone(cfg.Logs.MinFreePercent)}
}

// ownLogPolicy is that of the daemon's own log.
func ownLogPolicy(cfg *config.Config) applog.Policy {
	return applog.Policy{MaxBytes: int64(cfg.Logs.MaxBytes), MaxAge: orNone(cfg.Logs.MaxAge), Archives: cfg.Logs.Archives, Bytes: orNone(int64(cfg.Logs.Bytes))}
}

// ownLog is the daemon's log file, empty without log_path.
func ownLog(cfg *config.Config) string {
	if cfg.LogPath == "" {
		return ""
	}
	return filepath.Join(cfg.LogPath, "beamkeeper.log")
}

// openOwnLog opens the daemon's log file. It is rotated like those of the instances, which needs no opening anew.
func openOwnLog(path string) (io.Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// alsoTo is a logger that writes to a second place, too.
func alsoTo(first, second *slog.Logger) *slog.Logger {
	return slog.New(slog.NewMultiHandler(first.Handler(), second.Handler()))
}
