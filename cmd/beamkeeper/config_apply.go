package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) configApplyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply [FILE]", Short: "Put the changed configuration in force",
		Long: "Shows what config diff shows and puts it in force. Instances that need a new start for it are replaced one after the\n" +
			"other, as the app's strategy says, so that the app serves all the time. FILE, if given, becomes the daemon's file first.\n\n" +
			"An app that is not in the file any more is removed only when it is named with --confirm-removal: its instances are\n" +
			"stopped; its state, history, releases and logs stay until beamkeeper purge APP. Exit code 6: refused, nothing changed.",
		Args: arguments("[FILE]"), ValidArgsFunction: completeConfig,
	}
	flags := cmd.Flags()
	yes := flags.BoolP("yes", "y", false, "do not ask")
	confirmed := flags.StringSlice("confirm-removal", nil, "remove this app, which the file does not have any more; do not ask")
	noRestart := flags.Bool("no-restart", false, "leave instances with the settings they were started with")
	asJSON := jsonFlag(cmd)
	wait := waitFlags(cmd)
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("confirm-removal", c.completeApps))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		daemon, err := c.daemon()
		if err != nil {
			return err
		}
		content, d, err := c.compare(ctx, args)
		switch {
		case err != nil:
			return err
		case len(d.Broken) > 0:
			return api.Errorf(api.CodeRefused, "%s is broken, nothing was applied:\n%s", or(slices.Concat(args, []string{d.File})[0], d.File), strings.Join(d.Broken, "\n"))
		}
		if !*asJSON {
			printConfigDiff(c.out, d)
		}
		if !differs(d) && content == "" {
			return nil
		}
		if !*yes && len(*confirmed) == 0 {
			if err := c.confirm("Apply?", "--yes"); err != nil {
				return err
			}
		}
		if content != "" {
			if err := replaceFile(d.File, content); err != nil {
				return err
			}
		}
		before, err := daemon.Status(ctx)
		if err != nil {
			return err
		}
		done, err := daemon.ConfigApply(ctx, api.ConfigApplyRequest{SHA256: d.SHA256, ConfirmRemoval: *confirmed, NoRestart: *noRestart})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, done)
		}
		c.printApplied(done)
		return c.awaitApplied(ctx, daemon, *wait, before, done)
	}
	return cmd
}

// confirm asks the person at the terminal. Where there is none, flag has to be given.
func (c *cli) confirm(question, flag string) error {
	in, isFile := c.in.(*os.File)
	if _, ok := terminal(c.out); !ok || !isFile || !term.IsTerminal(int(in.Fd())) {
		return &api.Error{Code: api.CodeRefused, Message: "nothing was changed: this has to be confirmed", Hint: "look at it, then use " + flag}
	}
	fmt.Fprintf(c.out, "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return api.Errorf(api.CodeRefused, "nothing was changed")
	}
	return nil
}

// replaceFile puts content in the place of a file, which keeps its owner and mode. A symbolic link stays and what it leads
// to is replaced.
func replaceFile(path, content string) error {
	fail := func(err error) error {
		e := &api.Error{Code: api.CodeFailed, Message: fmt.Sprintf("the file cannot become %s, nothing was applied: %v", path, err), Err: err}
		if errors.Is(err, fs.ErrPermission) {
			e.Code, e.Hint = api.CodeDenied, "run it as a user who may write there"
		}
		return e
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fail(err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return fail(err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(real), ".beamkeeper-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(tmp.Name()) // it has its new name by then
	_, err = tmp.WriteString(content)
	if st, ok := info.Sys().(*syscall.Stat_t); ok && err == nil && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
		err = tmp.Chown(int(st.Uid), int(st.Gid))
	}
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(tmp.Name(), real); err != nil {
		return fail(err)
	}
	return nil
}

func (c *cli) printApplied(a api.ConfigApplied) {
	fmt.Fprintf(c.out, "applied %s\n", plural(len(a.Applied), "change"))
	for _, app := range a.Removals {
		fmt.Fprintf(c.out, "%s runs on: its removal takes --confirm-removal %s\n", app, app)
	}
	for _, p := range a.Pending {
		if p.Class == "daemon_restart" {
			fmt.Fprintf(c.out, "waits for a restart of the daemon: %s\n", p.Path)
		}
	}
}

// awaitApplied waits until instances have their new settings and apps that are removed are gone.
func (c *cli) awaitApplied(ctx context.Context, control api.Control, w waiting, before api.Status, done api.ConfigApplied) error {
	if w.detach || len(done.Restarting)+len(done.Removing) == 0 {
		return nil
	}
	var deadline <-chan time.Time
	if w.timeout > 0 {
		timer := time.NewTimer(w.timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	doing := "applying the configuration"
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		st, err := control.Status(ctx)
		if ctx.Err() != nil {
			return stillAt(doing, "interrupted", "")
		}
		if err != nil {
			return err
		}
		over, err := c.applied(before, st, done)
		if err != nil {
			return err
		}
		if over {
			for _, app := range done.Restarting {
				fmt.Fprintf(c.out, "%s has its new settings\n", app)
			}
			for _, app := range done.Removing {
				fmt.Fprintf(c.out, "%s is removed; its data stays until \"beamkeeper purge %s\"\n", app, app)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return stillAt(doing, "interrupted", "")
		case <-deadline:
			return stillAt(doing, fmt.Sprintf("not finished within %s", w.timeout), "")
		case <-ticker.C:
		}
	}
}

// applied reports whether what was begun has come to its end. An error says why it will not.
func (c *cli) applied(before, now api.Status, done api.ConfigApplied) (bool, error) {
	over := true
	for _, a := range now.Apps {
		switch {
		case slices.Contains(done.Removing, a.Name):
			over = false
		case !slices.Contains(done.Restarting, a.Name):
		default:
			d := a.Deployment
			old := slices.ContainsFunc(before.Apps, func(b api.App) bool {
				return b.Name == a.Name && b.Deployment != nil && d != nil && b.Deployment.ID == d.ID
			})
			if d != nil && !old && d.Outcome == api.DeploymentFailed {
				return false, c.outcome(*d)
			}
			running := d != nil && d.Outcome == api.DeploymentRunning
			behind := slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.OldSettings })
			if (running || behind) && a.Mode != modeStopped {
				over = false
			}
		}
	}
	return over, nil
}
