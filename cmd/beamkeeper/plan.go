package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

func (c *cli) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan APP [VERSION|FILE]",
		Short: "What a deployment would do, and why, without doing it",
		Long: "Says how a version can follow the one that runs: HOT (the running VMs can take it), FULL (new instances replace the old\n" +
			"ones), REFUSED (it cannot run here) or SAME (there is nothing to do), with numbered reasons, and for what stops HOT what\n" +
			"would have to change; then what a deployment would do step by step, what keeps it from being done now, and how the\n" +
			"instances are. Without VERSION or FILE it is about what current.json names. A version that is not on the host yet is\n" +
			"fetched; a FILE is read by this command, and not published.\n\n" +
			"Exit code 0: there is nothing to do; 2: a deployment would change something; 6: it is refused, or deploy would be.",
		Args:              arguments("APP", "[VERSION|FILE]"),
		ValidArgsFunction: c.completeVersions,
		Example:           "  beamkeeper plan shop\n  beamkeeper plan shop 1.4.0\n  beamkeeper plan shop _build/prod/shop-1.4.0.tar.gz --json",
	}
	asJSON := jsonFlag(cmd)
	kind := kindFlags(cmd)
	force := cmd.Flags().Bool("force", false, "as deploy --force: what that overrides is no reason for exit code 6")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := api.PlanRequest{App: args[0]}
		var err error
		if req.Kind, err = kind(); err != nil {
			return err
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		if len(args) > 1 {
			isFile, err := isArchive(args[1])
			switch {
			case err != nil:
				return err
			case isFile:
				if req.File, err = planFile(cmd.Context(), args[0], args[1]); err != nil {
					return err
				}
			default:
				req.Version = args[1]
			}
		}
		p, err := d.Plan(cmd.Context(), req)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(c.out, p)
		} else {
			err = printPlan(c.out, p)
		}
		if err != nil {
			return err
		}
		return planExit(p, *force)
	}
	return cmd
}

// kindFlags gives a verb --hot and --full; the function says which was given.
func kindFlags(cmd *cobra.Command) func() (string, error) {
	hot := cmd.Flags().Bool("hot", false, "upgrade the running VMs, or refuse")
	full := cmd.Flags().Bool("full", false, "replace the instances, even where a hot upgrade could be done")
	return func() (string, error) {
		switch {
		case *hot && *full:
			return "", api.Errorf(api.CodeUsage, "--hot and --full exclude each other")
		case *hot:
			return api.KindHot, nil
		case *full:
			return api.KindFull, nil
		}
		return "", nil
	}
}

// isArchive says whether an argument is a file, and no version. One that could only be a file and is not there is an error.
func isArchive(arg string) (bool, error) {
	fi, err := os.Stat(arg)
	if err == nil && fi.Mode().IsRegular() {
		return true, nil
	}
	if strings.Contains(arg, "/") || strings.HasSuffix(arg, ".tar.gz") {
		return false, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no file %s", arg), Err: err}
	}
	return false, nil
}

// planFile reads an archive with the rights of whoever asks: the daemon may have others.
func planFile(ctx context.Context, app, file string) (*api.PlanFile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return nil, err
	}
	p := &api.PlanFile{Name: file, SHA256: hex.EncodeToString(h.Sum(nil)), Size: size}
	contents, err := release.ReadContentsOf(ctx, file, app, release.Limits{})
	switch {
	case err != nil && release.Unusable(err):
		p.Broken = err.Error()
		return p, nil
	case err != nil:
		return nil, err
	}
	p.Contents, err = json.Marshal(contents)
	return p, err
}

// planExit is the exit code of a plan; what it is has been printed.
func planExit(p api.Plan, force bool) error {
	for _, h := range p.Holds {
		if h.Manual && !(force && h.Forcible) {
			return reported{exitRefused}
		}
	}
	switch {
	case p.Verdict == release.Refused:
		return reported{exitRefused}
	case p.Kind != "":
		return reported{exitUsage} // also: plan found changes
	}
	return nil
}
