package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/release"
)

func (c *cli) publishListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "list APP",
		Short:             "The versions of an app that the bucket has",
		Args:              arguments("APP"),
		ValidArgsFunction: c.completeApps,
	}
	asJSON := jsonFlag(cmd)
	var p place
	p.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.account = cmd.Flags().Changed("env")
		at, err := c.depot(p.anyAccount())
		if err != nil {
			return err
		}
		all, err := release.Stock(cmd.Context(), at.bucket, args[0], []string{at.account})
		if err != nil {
			return publishError(err)
		}
		if *asJSON {
			if all == nil {
				all = []release.Stocked{}
			}
			return printJSON(c.out, all)
		}
		t := newTable(c.out)
		t.row("VERSION", "SIZE", "PUBLISHED", "CURRENT IN", "PUBLISHED IN")
		for _, s := range all {
			bytes := "gone"
			if s.Archive != "" {
				bytes = size(s.Size)
			}
			t.row(s.Version, bytes, s.At.UTC().Format(time.RFC3339), accounts(s.Current), accounts(s.Published))
		}
		return t.flush()
	}
	return cmd
}

// anyAccount says that any account will do.
func (p place) anyAccount() place {
	p.account = p.account || p.to != ""
	return p
}

// accounts names them; an empty one is that of a bucket without.
func accounts(list []string) string {
	var words []string
	for _, a := range list {
		if a == "" {
			a = "(none)"
		}
		words = append(words, a)
	}
	return dash(strings.Join(words, ", "))
}

func (c *cli) publishPruneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune APP --keep N",
		Short: "Remove old versions of an app from the bucket",
		Long: "Removes the archives of an app from the bucket, but never one that a current.json of any account names, nor one of the\n" +
			"last N that were published in any account. Hosts keep what they have fetched.",
		Args:              arguments("APP"),
		ValidArgsFunction: c.completeApps,
	}
	asJSON := jsonFlag(cmd)
	var to string
	var envs []string
	cmd.Flags().StringVar(&to, "to", "", "bucket, as of publish; default: the configuration's")
	cmd.Flags().StringSliceVar(&envs, "env", nil, "accounts to look at besides those that the bucket shows; may be given again")
	keep := cmd.Flags().Int("keep", 10, "versions that stay, of those published last")
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would be removed, and remove nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := c.depot(place{to: to}.anyAccount())
		if err != nil {
			return err
		}
		if at.cfg != nil {
			envs = append(envs, at.account)
		}
		removed, kept, err := release.PruneBucket(cmd.Context(), release.PruneOptions{Bucket: at.bucket, App: args[0], Accounts: envs, Keep: *keep, DryRun: *dryRun})
		if err != nil {
			return publishError(err)
		}
		if *asJSON {
			return printJSON(c.out, struct {
				Removed []string `json:"removed"`
				Kept    []string `json:"kept"`
				DryRun  bool     `json:"dry_run"`
			}{versionsOf(removed), versionsOf(kept), *dryRun})
		}
		what := "removed"
		if *dryRun {
			what = "would remove"
		}
		fmt.Fprintf(c.out, "%s %s: %s\n", what, plural(len(removed), "version"), dash(strings.Join(versionsOf(removed), ", ")))
		fmt.Fprintf(c.out, "kept: %s\n", dash(strings.Join(versionsOf(kept), ", ")))
		return nil
	}
	return cmd
}

func versionsOf(list []release.Stocked) []string {
	words := []string{}
	for _, s := range list {
		words = append(words, s.Version)
	}
	return words
}
