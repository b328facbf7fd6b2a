package main

import (
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (c *cli) logsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logs APP[/INSTANCE]", Short: "What instances wrote to stdout and stderr",
		Args: arguments("APP[/INSTANCE]"), ValidArgsFunction: c.completeTargets,
	}
	asJSON := jsonFlag(cmd)
	var req api.LogRequest
	flags := cmd.Flags()
	flags.BoolVarP(&req.Follow, "follow", "f", false, "go on until interrupted")
	flags.StringVar(&req.Stream, "stream", "", "stdout or stderr; both when left out")
	flags.DurationVar(&req.Since, "since", 0, "lines younger than that, such as 10m")
	flags.StringVar(&req.Grep, "grep", "", "lines that match a regular expression (RE2)")
	flags.IntVarP(&req.Lines, "lines", "n", 100, "the last so many of each file; 0 for all")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{"stdout", "stderr"}, cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := parseTarget(args[0])
		if err != nil {
			return err
		}
		req.Target = t
		if err := checkLogRequest(req); err != nil {
			return err
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		var werr error
		err = d.Logs(cmd.Context(), req, func(l api.LogLine) bool {
			werr = c.printLogLine(l, t.Instance == "", req.Stream == "", *asJSON)
			return werr == nil
		})
		switch {
		case werr != nil:
			return werr
		case err == nil && req.Follow && cmd.Context().Err() == nil:
			return &api.Error{Code: api.CodeUnreachable, Message: "the daemon has stopped", Hint: "the instances run on and write their files on; ask again when it is back"}
		}
		return err
	}
	return cmd
}

func checkLogRequest(r api.LogRequest) error {
	switch {
	case r.Stream != "" && r.Stream != "stdout" && r.Stream != "stderr":
		return api.Errorf(api.CodeUsage, "--stream %q is neither stdout nor stderr", r.Stream)
	case r.Lines < 0:
		return api.Errorf(api.CodeUsage, "--lines is negative")
	case r.Since < 0:
		return api.Errorf(api.CodeUsage, "--since is negative")
	}
	if _, err := regexp.Compile(r.Grep); err != nil {
		return api.Errorf(api.CodeUsage, "--grep: %v", err)
	}
	return nil
}

func (c *cli) printLogLine(l api.LogLine, nameInstance, nameStream, asJSON bool) error {
	if asJSON {
		return printJSONLine(c.out, l)
	}
	prefix := ""
	if nameInstance {
		prefix = l.Instance + " "
	}
	if nameStream && l.Stream == "stderr" {
		prefix += "stderr "
	}
	if prefix != "" {
		prefix += "| "
	}
	text := l.Text
	if _, ok := terminal(c.out); ok {
		text = printable(text)
	}
	_, err := fmt.Fprintf(c.out, "%s%s\n", prefix, text)
	return err
}
