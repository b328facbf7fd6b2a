package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/deployex"
	"github.com/beamkeeper/beamkeeper/internal/secrets"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// leftDir is where the folders of DeployEx's instances go, below var_path.
const leftDir = "deployex-left"

// initFromDeployEx takes over an installation of DeployEx: its file becomes ours, with what ours has beside it, its
// history is read in, its bucket and folders stay where they are. DeployEx must have ended.
func (c *cli) initFromDeployEx(from, file, dir string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return &api.Error{Code: api.CodeNotFound, Message: err.Error(), Hint: "name DeployEx's file, the one in $DEPLOYEX_CONFIG_YAML_PATH", Err: err}
	}
	if _, err := os.Lstat(file); err == nil {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s exists; nothing was changed", file), Hint: "remove it, or choose another folder with --dir"}
	}
	ours := adoptConfig(text, dir)
	cfg, err := config.Parse(file, ours)
	if err != nil {
		return err
	}
	if err := nothingRuns(cfg.VarPath); err != nil {
		return err
	}
	var names []string
	for _, a := range cfg.Applications {
		names = append(names, a.Name)
	}
	apps, err := deployex.Read(cfg.VarPath, names)
	if err != nil {
		return err
	}
	for _, d := range []string{filepath.Dir(file), cfg.VarPath, cfg.MonitoredAppLogPath, filepath.Dir(cfg.Control.Socket)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return initError(err)
		}
	}
	sec, err := secrets.Load(secrets.Options{CookieFile: cfg.Node.CookieFile, Adapter: string(cfg.SecretsAdapter), Generated: cfg.CookiePath(), Getenv: c.getenv})
	cookie := sec.CookieFrom
	if err != nil && cfg.SecretsAdapter != config.SecretsEnv { // what the daemon's environment will have, we need not
		return initError(err)
	}
	if err != nil {
		cookie = "DEPLOYEX_ERLANG_COOKIE in the daemon's environment"
	}
	entries, err := takeHistory(cfg, apps)
	if err != nil {
		return startError(err)
	}
	if err := setAside(cfg.VarPath, apps); err != nil {
		return initError(err)
	}
	if err := writeNew(file, ours); err != nil {
		return initError(err)
	}
	c.printInit(file, cfg, cookie)
	c.printTaken(cfg, apps, entries)
	return nil
}

// adoptConfig is DeployEx's file with what Beamkeeper has beside it. With a dir the control socket is in it.
func adoptConfig(text []byte, dir string) []byte {
	out := "# Taken over from DeployEx. Its keys mean here what they meant there (docs/configuration.md).\n" + string(text)
	if !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	out += "\n# Beamkeeper's own.\nnode:\n  name: beamkeeper\n"
	if dir != "" {
		out += fmt.Sprintf("control:\n  socket: %q\n", filepath.Join(dir, "beamkeeper.sock"))
	}
	return []byte(out)
}

// nothingRuns refuses while processes run from the folders of DeployEx's instances: they have the ports, and whoever
// supervises them would start them again.
func nothingRuns(varPath string) error {
	running, err := deployex.Running(varPath)
	if err != nil || len(running) == 0 {
		return err
	}
	var which []string
	for _, p := range running {
		if w := fmt.Sprintf("%s (OS pid %d)", p.Instance, p.OSPID); !slices.Contains(which, w) {
			which = append(which, w)
		}
	}
	return &api.Error{
		Code:    api.CodeRefused,
		Message: "instances of DeployEx still run: " + strings.Join(which, ", ") + "; nothing was changed",
		Hint:    "stop DeployEx, which stops them too: systemctl disable --now deployex",
	}
}

// takeHistory notes in the state store which versions the apps have had.
func takeHistory(cfg *config.Config, apps []deployex.App) (entries int, err error) {
	s, err := state.Open(filepath.Join(cfg.VarPath, "state"))
	if err != nil {
		return 0, err
	}
	err = s.Update(func(tx *state.Tx) error {
		for _, a := range apps {
			known, err := tx.History(a.Name)
			if err != nil {
				return err
			}
			if len(known) > 0 {
				continue // taken over before
			}
			for _, v := range a.History {
				kind := "full"
				if v.Hot {
					kind = "hot"
				}
				err := tx.AddHistory(a.Name, api.HistoryEntry{At: api.Time{Time: v.At}, Version: v.Version, Hash: v.Hash, Instance: v.Instance, Kind: kind, Deployment: "deployex"})
				if err != nil {
					return err
				}
				entries++
			}
		}
		return nil
	})
	return entries, errors.Join(err, s.Close())
}

// setAside moves the folders of DeployEx's instances away from ours. They are releases that the bucket has, too; nothing
// is removed.
func setAside(varPath string, apps []deployex.App) error {
	for _, a := range apps {
		for _, name := range a.Instances {
			from, to := filepath.Join(varPath, "service", a.Name, name), filepath.Join(varPath, leftDir, a.Name, name)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			if err := os.Rename(from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cli) printTaken(cfg *config.Config, apps []deployex.App, entries int) {
	fmt.Fprintf(c.out, "\nTaken over from DeployEx: %d history entries of %d apps.\n", entries, len(apps))
	left := 0
	for _, a := range apps {
		left += len(a.Instances)
		if a.Manual != "" {
			fmt.Fprintf(c.out, "  %s was in manual mode at %s: once the daemon runs, beamkeeper deploy %s %s\n", a.Name, a.Manual, a.Name, a.Manual)
		}
		for _, g := range a.Ghosted {
			fmt.Fprintf(c.out, "  %s %s was ghosted: see that current.json names another version\n", a.Name, g.Version)
		}
	}
	if left > 0 {
		fmt.Fprintf(c.out, "  %d folders of its instances are in %s; remove them when you are content\n", left, filepath.Join(cfg.VarPath, leftDir))
	}
	for _, n := range cfg.NotYet() {
		fmt.Fprintf(c.out, "  without effect: %s\n", n)
	}
}
