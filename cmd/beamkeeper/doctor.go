package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

// check is one thing that doctor looked at.
type check struct {
	Area   string `json:"area"`
	Name   string `json:"name"`
	Result string `json:"result"` // ok, warn, fail
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// The results of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

// The areas that doctor can be asked for by name.
const (
	areaConfig = "config"
	areaDaemon = "daemon"
	areaDist   = "dist"
	areaSource = "source"
	areaHost   = "host"
)

// doctor looks at one thing after the other and notes what it finds.
type doctor struct {
	cli    *cli
	cfg    *config.Config
	status *api.Status // nil: no daemon answers
	apps   []config.App
	checks []check
}

func (d *doctor) ok(area, name, format string, args ...any) {
	d.checks = append(d.checks, check{Area: area, Name: name, Result: checkOK, Detail: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(area, name, remedy, format string, args ...any) {
	d.checks = append(d.checks, check{Area: area, Name: name, Result: checkWarn, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (d *doctor) fail(area, name, remedy, format string, args ...any) {
	d.checks = append(d.checks, check{Area: area, Name: name, Result: checkFail, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (c *cli) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [dist [APP[/INSTANCE]|NAME@HOST]|source|host|APP]",
		Short: "What is wrong, and how to mend it",
		Long: "Looks at the configuration, the daemon, the Erlang distribution (dist), the bucket (source) and the machine (host),\n" +
			"or at one app. \"dist\" with an app, an instance or the name of any node connects to it step by step, under a throw-away\n" +
			"name, and says what is in the way. Exit code 1 when something fails.",
		Args: arguments("[dist|source|host|APP]", "[APP[/INSTANCE]|NAME@HOST]"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch {
			case len(args) == 1 && args[0] == areaDist:
				return c.completeTargets(cmd, nil, "")
			case len(args) > 0:
				return nil, noFiles
			}
			return append([]string{areaDist, areaSource, areaHost}, c.knownApps(cmd.Context())...), noFiles
		},
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		what, peer := "", ""
		if len(args) > 0 {
			what = args[0]
		}
		if len(args) > 1 {
			peer = args[1]
			if what != areaDist {
				return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q is one argument too many: only dist takes a node", peer), Hint: "usage: " + cmd.UseLine()}
			}
		}
		checks, err := c.examine(cmd.Context(), what, peer)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(c.out, checks)
		} else {
			err = printChecks(c.out, checks)
		}
		if err != nil {
			return err
		}
		for _, ch := range checks {
			if ch.Result == checkFail {
				return reported{exitFailed}
			}
		}
		return nil
	}
	return cmd
}

// examine makes the checks of an area, of an app, or all of them. peer is whom to connect to, with the area dist.
func (c *cli) examine(ctx context.Context, what, peer string) ([]check, error) {
	d := &doctor{cli: c, checks: []check{}}
	d.checkConfig()
	if d.cfg == nil {
		return d.checks, nil // nothing else can be known
	}
	d.apps = d.cfg.Applications
	areas := map[string]func(context.Context){areaDist: d.checkDist, areaSource: d.checkSource, areaHost: d.checkHost}
	d.checkDaemon(ctx)
	if look, ok := areas[what]; ok {
		look(ctx)
		if peer != "" {
			return d.checks, d.checkPeers(ctx, peer)
		}
		return d.checks, nil
	}
	if what != "" {
		app, err := findApp(d.cfg, what)
		if err != nil {
			return nil, err
		}
		d.apps = []config.App{app}
		d.checkSource(ctx)
		d.checkApps()
		return d.checks, nil
	}
	d.checkDist(ctx)
	d.checkSource(ctx)
	d.checkHost(ctx)
	d.checkApps()
	return d.checks, nil
}

func printChecks(w io.Writer, checks []check) error {
	counts := map[string]int{}
	for _, ch := range checks {
		counts[ch.Result]++
		fmt.Fprintf(w, "%-4s  %-7s %s: %s\n", ch.Result, ch.Area, ch.Name, indentRest(printableLines(ch.Detail)))
		if ch.Remedy != "" {
			fmt.Fprintf(w, "      → %s\n", indentRest(ch.Remedy))
		}
	}
	_, err := fmt.Fprintf(w, "%d ok, %s, %d failed\n", counts[checkOK], plural(counts[checkWarn], "warning"), counts[checkFail])
	return err
}
