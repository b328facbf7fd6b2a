package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/systemd"
)

func (c *cli) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "The daemon, in the foreground",
		Long: "Runs the daemon until SIGTERM or SIGINT. The instances run on when it ends, and the next daemon takes them over;\n" +
			"with --with-instances they are stopped first (containers, demos).",
		Args: arguments(),
	}
	withInstances := cmd.Flags().Bool("with-instances", false, "stop the instances when the daemon stops")
	format := cmd.Flags().String("log-format", "auto", "text, json, journal, or auto: journal as a service of systemd, text on a terminal, else json")
	level := cmd.Flags().String("log-level", "info", "debug, info, warn or error")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"auto", "text", "json", "journal"}, noFiles)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, noFiles)))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		started := time.Now()
		log, err := c.logger(*format, *level)
		if err != nil {
			return err
		}
		cfg, path, err := c.mustConfig()
		if err != nil {
			broken := err
			if cfg, err = lastInForce(path, broken); err != nil {
				return err
			}
			log.Error("the configuration is broken; going on with the one that was in force last", "file", path, "err", broken)
		}
		if log, err = c.toOwnLog(cfg, log, *format, *level); err != nil {
			return err
		}
		for _, n := range cfg.NotYet() {
			log.Warn("setting without effect", "at", fmt.Sprintf("%s:%s", path, n))
		}
		return c.serve(cmd.Context(), cfg, log, started, *withInstances)
	}
	return cmd
}

// logger writes the daemon's log to stderr.
func (c *cli) logger(format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, api.Errorf(api.CodeUsage, "--log-level %q is neither debug, info, warn nor error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	_, isTerminal := terminal(c.err)
	switch {
	case format == "journal", format == "auto" && c.err == os.Stderr && systemd.Journaled():
		return slog.New(systemd.NewJournal(l)), nil
	case format == "text", format == "auto" && isTerminal:
		return slog.New(slog.NewTextHandler(c.err, o)), nil
	case format == "json", format == "auto":
		return slog.New(slog.NewJSONHandler(c.err, o)), nil
	}
	return nil, api.Errorf(api.CodeUsage, "--log-format %q is neither text, json, journal nor auto", format)
}

// toOwnLog has the daemon's log go to its file, if log_path names a folder for it; a terminal gets it too, and the
// journal where that was asked for.
func (c *cli) toOwnLog(cfg *config.Config, log *slog.Logger, format, level string) (*slog.Logger, error) {
	path := ownLog(cfg)
	if path == "" {
		return log, nil
	}
	out, err := openOwnLog(path)
	if err != nil {
		return nil, startError(err)
	}
	inFile, other := *c, format == "journal"
	inFile.err = out
	if other {
		format = "json"
	}
	file, err := inFile.logger(format, level)
	if err != nil {
		return nil, err
	}
	if _, isTerminal := terminal(c.err); isTerminal || other {
		return alsoTo(file, log), nil
	}
	log.Info("the log goes on in a file", "file", path)
	return file, nil
}

// serve brings the daemon up, waits for the end of ctx, and takes it down.
func (c *cli) serve(ctx context.Context, cfg *config.Config, log *slog.Logger, started time.Time, withInstances bool) error {
	tuneMemory(c.getenv)
	shareCores(c.getenv)
	outliveLogReader()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	hangups := onHangup(ctx, stop)
	onExecute(ctx, stop)

	d, err := startDaemon(ctx, cfg, log, c.getenv, stop)
	if err != nil {
		return err
	}
	d.service.ready(ctx, d.counts, d.healthy)
	d.serving.Go(func() { d.reloads(ctx, hangups, log) })
	log.Info("ready", "version", version, "node", d.node.Name().String(), "socket", cfg.Control.Socket,
		"apps", len(cfg.Applications), "took_ms", time.Since(started).Milliseconds())
	if err := unmapProgram(); err != nil {
		log.Debug("the program's pages stay in memory", "err", err)
	}
	<-ctx.Done()
	if d.service.stopping() && !withInstances {
		log.Info("the machine is going down: the instances are stopped, too")
		withInstances = true
	}

	var failure error
	cause := context.Cause(ctx)
	if errors.Is(cause, errExecute) {
		log.Info("making place for another program; the instances run on")
		if err := d.stop(false); err != nil {
			log.Error("stopping", "err", err)
		}
		return execute()
	}
	if !errors.Is(cause, context.Canceled) {
		failure = cause
		log.Error("stopping after a failure", "err", cause)
	}
	if withInstances {
		log.Info("stopping, and the instances first")
	} else {
		log.Info("stopping; the instances run on, and the next daemon takes them over")
	}
	err = d.stop(withInstances)
	log.Info("stopped")
	return errors.Join(failure, err)
}

// outliveLogReader keeps a reader of our log that goes away from ending us. To ignore SIGPIPE would do so too, but what
// is ignored stays so in the programs that we start, and pipes in their scripts would no longer end.
func outliveLogReader() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// onHangup treats SIGHUP: of a terminal that was closed it is the end, otherwise the configuration is to be read again,
// which the channel says.
func onHangup(ctx context.Context, stop context.CancelCauseFunc) <-chan struct{} {
	hup, hangups := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(hup, syscall.SIGHUP)
	_, onTerminal := terminal(os.Stdin)
	go func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				if onTerminal {
					stop(context.Canceled)
					return
				}
				select {
				case hangups <- struct{}{}:
				default: // one is waiting already
				}
			}
		}
	}()
	return hangups
}

// tuneMemory keeps the idle daemon small: collect earlier than the runtime would by itself, unless told otherwise.
func tuneMemory(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// shareCores has the daemon's Go code use half of the cores that it may use, unless told otherwise. The other half is
// the applications'; and a BEAM is answered sooner by a thread that need not wake another one for each message.
func shareCores(getenv func(string) string) {
	if getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
}
