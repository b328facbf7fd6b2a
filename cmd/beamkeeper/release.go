package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/release"
)

func (c *cli) releaseCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "release", Short: "Look into release archives, without a daemon and without Erlang"}
	group(cmd)
	cmd.AddCommand(c.releaseInspectCommand(), c.releaseDiffCommand(), c.releaseHostCommand())
	return cmd
}

func (c *cli) releaseInspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect FILE", Short: "What is in an archive, and whether it runs on this host",
		Long: "Reads an archive: name, versions, applications, modules, appups, native libraries, configuration. REFUSED (exit code 6)\n" +
			"when it cannot run on this host: another machine, a newer C library, a missing library.",
		Args: arguments("FILE"),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		contents, err := release.ReadContents(cmd.Context(), args[0], release.Limits{})
		if err != nil {
			return err
		}
		v := release.Judge(nil, contents, release.ThisHost())
		if *asJSON {
			if err := printJSON(c.out, struct {
				release.Contents
				release.Verdict
			}{contents, v}); err != nil {
				return err
			}
		} else if err := printContents(c.out, contents, v); err != nil {
			return err
		}
		return refusal(v)
	}
	return cmd
}

func (c *cli) releaseDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff OLD NEW", Short: "What differs between two archives, and whether one can follow the other hot",
		Long: "Compares two archives and says HOT, FULL, SAME or REFUSED with numbered reasons, and for what stops HOT what would have\n" +
			"to change. Modules are compared by what the VM loads: debug information and comments make no difference.\n" +
			"Exit code 0; 6 for REFUSED.",
		Args: arguments("OLD", "NEW"),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var both [2]release.Contents
		for i, file := range args {
			var err error
			if both[i], err = release.ReadContents(cmd.Context(), file, release.Limits{}); err != nil {
				return err
			}
		}
		diff, v := release.Compare(both[0], both[1]), release.Judge(&both[0], both[1], release.ThisHost())
		if *asJSON {
			if err := printJSON(c.out, struct {
				release.Verdict
				release.Comparison
			}{v, diff}); err != nil {
				return err
			}
		} else if err := printComparison(c.out, diff, v); err != nil {
			return err
		}
		return refusal(v)
	}
	return cmd
}

// refusal is the exit code of REFUSED; what it is has been printed.
func refusal(v release.Verdict) error {
	if v.Verdict == release.Refused {
		return reported{exitRefused}
	}
	return nil
}

func printContents(w io.Writer, c release.Contents, v release.Verdict) error {
	modules, appups := 0, 0
	for _, a := range c.Apps {
		modules += len(a.Modules)
		if a.Appup != nil {
			appups++
		}
	}
	t := newTable(w)
	t.row("release", c.Name+" "+c.Version)
	t.row("language", c.Language)
	t.row("OTP", dash(c.OTP), "ERTS "+dash(c.ERTS))
	if c.Elixir != "" {
		t.row("Elixir", c.Elixir)
	}
	t.row("applications", fmt.Sprint(len(c.Apps)), fmt.Sprintf("%d modules, %d appups", modules, appups))
	t.row("size", fmt.Sprintf("%d files", c.Files), fmt.Sprintf("%d bytes unpacked", c.Bytes))
	if len(c.Natives) > 0 {
		glibc, machine := "", c.Natives[0].Machine
		for _, n := range c.Natives {
			if release.CompareVersions(n.GLIBC, glibc) > 0 {
				glibc = n.GLIBC
			}
		}
		t.row("native", fmt.Sprintf("%d programs and libraries", len(c.Natives)), machine, "glibc "+dash(glibc))
	}
	if len(c.Loaders) > 0 {
		t.row("providers", strings.Join(c.Loaders, ", "))
	}
	if len(c.Relup) > 0 {
		t.row("relup from", strings.Join(c.Relup, ", "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if v.Verdict != release.Refused {
		v.Verdict, v.Reasons = "It runs on this host.", nil
	}
	return printVerdict(w, v)
}

func printComparison(w io.Writer, d release.Comparison, v release.Verdict) error {
	fmt.Fprintf(w, "%s → %s\n", d.From, d.To)
	if err := printDifferences(w, d); err != nil {
		return err
	}
	return printVerdict(w, v)
}

func printDifferences(w io.Writer, d release.Comparison) error {
	for _, c := range []struct {
		name string
		*release.VersionChange
	}{{"ERTS", d.ERTS}, {"OTP", d.OTP}, {"Elixir", d.Elixir}} {
		if c.VersionChange != nil {
			fmt.Fprintf(w, "%s %s → %s\n", c.name, dash(c.From), dash(c.To))
		}
	}
	t := newTable(w)
	for _, a := range d.Apps {
		how := "no appup"
		switch {
		case a.From == "":
			how = "new"
		case a.To == "":
			how = "gone"
		case a.Up && a.Down:
			how = "appup, up and down"
		case a.Up:
			how = "appup, up only"
		}
		t.row("  "+a.Name, dash(a.From)+" → "+dash(a.To), fmt.Sprintf("+%d ~%d -%d modules", len(a.Added), len(a.Changed), len(a.Removed)), how)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, c := range []struct {
		what string
		keys []string
	}{{"new", d.Config.Added}, {"other", d.Config.Changed}, {"gone", d.Config.Removed}} {
		for _, key := range c.keys {
			fmt.Fprintf(w, "  config %s: %s\n", c.what, key)
		}
	}
	return nil
}

func printVerdict(w io.Writer, v release.Verdict) error {
	fmt.Fprintf(w, "\n%s\n", v.Verdict)
	for i, r := range v.Reasons {
		fmt.Fprintf(w, "  %d. %s\n", i+1, r.What)
		if r.Remedy != "" {
			fmt.Fprintf(w, "     → %s\n", r.Remedy)
		}
	}
	for _, n := range v.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
	return nil
}

// dash stands for what is not there.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
