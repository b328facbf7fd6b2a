package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

func (c *cli) stateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "state", Short: "Check, back up, restore and export the daemon's state"}
	group(cmd)
	cmd.AddCommand(c.stateCheckCommand(), c.stateBackupCommand(), c.stateRestoreCommand(), c.stateExportCommand())
	return cmd
}

// stateDir is the state folder of the configuration.
func (c *cli) stateDir() (string, error) {
	cfg, _, err := c.mustConfig()
	if err != nil {
		return "", err
	}
	return filepath.Join(cfg.VarPath, "state"), nil
}

// keeper is the daemon, or, when none answers, its state folder.
func (c *cli) keeper(ctx context.Context) (keeper api.StateKeeper, done func(), err error) {
	d, err := c.daemon()
	if err != nil {
		return nil, nil, err
	}
	if _, err := d.Health(ctx); err == nil {
		return d, d.Close, nil
	}
	dir, err := c.stateDir()
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, &api.Error{Code: api.CodeNotFound, Message: err.Error(), Err: err}
	}
	store, err := state.Open(dir)
	if err != nil {
		return nil, nil, startError(err)
	}
	return stateKeeper{store}, func() { _ = store.Close() }, nil
}

func (c *cli) stateCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Look for damage in the state, or in a copy of it", Args: arguments("[FILE]"),
		Long: "Reads the database page by page, and lists the automatic backups. A running daemon checks a copy of its own.",
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var report api.StateReport
		var err error
		if len(args) > 0 {
			report, err = checkFile(args[0], nil)
		} else {
			report, err = c.checkState(cmd.Context())
		}
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(c.out, report)
		} else {
			err = c.showReport(report)
		}
		if err == nil && len(report.Found) > 0 {
			err = &api.Error{Code: api.CodeFailed, Message: report.Path + " is damaged", Hint: restoreHint(len(report.Backups))}
		}
		return err
	}
	return cmd
}

// checkState asks the daemon, or looks at the file when there is none: opening it would refuse a damaged one.
func (c *cli) checkState(ctx context.Context) (api.StateReport, error) {
	d, err := c.daemon()
	if err != nil {
		return api.StateReport{}, err
	}
	defer d.Close()
	if _, err := d.Health(ctx); err == nil {
		return d.CheckState(ctx)
	}
	dir, err := c.stateDir()
	if err != nil {
		return api.StateReport{}, err
	}
	backups, err := state.Backups(dir)
	if err != nil {
		return api.StateReport{}, err
	}
	return checkFile(filepath.Join(dir, state.DBFile), backups)
}

func checkFile(path string, backups []state.Backup) (api.StateReport, error) {
	found, err := state.Check(path)
	if errors.Is(err, os.ErrNotExist) {
		return api.StateReport{}, &api.Error{Code: api.CodeNotFound, Message: err.Error(), Err: err}
	}
	return report(path, found, backups), err
}

func (c *cli) showReport(r api.StateReport) error {
	for _, f := range r.Found {
		fmt.Fprintf(c.out, "%s: %s\n", r.Path, printable(f))
	}
	if len(r.Found) == 0 {
		fmt.Fprintf(c.out, "%s is whole\n", r.Path)
	}
	if len(r.Backups) == 0 {
		return nil
	}
	t := newTable(c.out)
	t.row("BACKUP", "AT", "SIZE")
	for _, b := range r.Backups {
		t.row(b.Path, stamp(b.At), size(b.SizeBytes))
	}
	return t.flush()
}

func (c *cli) stateBackupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup", Short: "Make a backup of the state now", Args: arguments(),
		Long: "Copies the database beside the automatic backups, in state/backups of var_path, and checks the copy.",
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		k, done, err := c.keeper(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		b, err := k.BackupState(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, b)
		}
		fmt.Fprintf(c.out, "%s, %s\n", b.Path, size(b.SizeBytes))
		return nil
	}
	return cmd
}

func (c *cli) stateRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore [BACKUP]", Short: "Put a backup in the place of the state", Args: arguments("[BACKUP]"),
		Long: "Takes the newest automatic backup that is whole, or the file BACKUP. What was there is kept beside it. No daemon\n" +
			"may run meanwhile; the instances may, and the next daemon takes them over or offers them for adoption.",
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dir, err := c.stateDir()
		if err != nil {
			return err
		}
		path := ""
		if len(args) > 0 {
			path = args[0]
		}
		from, kept, err := state.Restore(dir, path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return &api.Error{Code: api.CodeNotFound, Message: err.Error(), Err: err}
		case errors.Is(err, state.ErrDamaged):
			return &api.Error{Code: api.CodeRefused, Message: err.Error(), Hint: "beamkeeper state check lists the backups", Err: err}
		case err != nil:
			return startError(err)
		}
		fmt.Fprintf(c.out, "restored %s of %s\n", from.Path, stamp(api.Time{Time: from.At}))
		if kept != "" {
			fmt.Fprintf(c.out, "what was there is kept as %s\n", kept)
		}
		return nil
	}
	return cmd
}

func (c *cli) stateExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Short: "Write everything in the state as JSON", Args: arguments(),
		Long: "Apps and what is wished for them, instances, deployments, versions history, events and counters.",
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		k, done, err := c.keeper(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		everything, err := k.ExportState(cmd.Context())
		if err != nil {
			return err
		}
		return printJSON(c.out, everything)
	}
	return cmd
}

// stateKeeper answers for an open store.
type stateKeeper struct{ store *state.Store }

func (k stateKeeper) BackupState(context.Context) (api.StateBackup, error) {
	b, err := k.store.Backup()
	return apiBackup(b), err
}

func (k stateKeeper) CheckState(context.Context) (api.StateReport, error) {
	found, err := k.store.Check()
	if err != nil {
		return api.StateReport{}, err
	}
	backups, err := state.Backups(filepath.Dir(k.store.Path()))
	return report(k.store.Path(), found, backups), err
}

func (k stateKeeper) ExportState(context.Context) (any, error) { return k.store.Export() }

func apiBackup(b state.Backup) api.StateBackup {
	return api.StateBackup{Path: b.Path, At: api.Time{Time: b.At}, SizeBytes: b.Size}
}

func report(path string, found []string, backups []state.Backup) api.StateReport {
	r := api.StateReport{Path: path, Found: found, Backups: []api.StateBackup{}}
	if r.Found == nil {
		r.Found = []string{}
	}
	for _, b := range backups {
		r.Backups = append(r.Backups, apiBackup(b))
	}
	return r
}

// restoreHint says what to do about a damaged database.
func restoreHint(backups int) string {
	if backups == 0 {
		return "there is no backup that is whole; without the file the daemon begins anew, and offers the running instances for adoption"
	}
	return "beamkeeper state restore puts the newest backup in its place and keeps the damaged file; the running instances are left alone"
}

// backups tells how the automatic backups go.
type backups struct {
	mu    sync.Mutex
	err   error
	since time.Time
}

func (b *backups) tell(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.err == nil {
		b.since = time.Now()
	}
	b.err = err
}

// problems are those that the status of the daemon shows.
func (b *backups) problems() []api.Problem {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return nil
	}
	p := api.Problem{Since: api.Time{Time: b.since.UTC()}, What: "the state could not be backed up: " + b.err.Error(), Remedy: "make room on the disk of var_path"}
	if errors.Is(b.err, state.ErrDamaged) {
		p.Remedy = "stop the daemon (the instances run on), then: " + strings.TrimPrefix(restoreHint(1), "it ")
	}
	return []api.Problem{p}
}
