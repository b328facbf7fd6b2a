package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

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
	var sinceText, untilText string
	flags := cmd.Flags()
	flags.BoolVarP(&req.Follow, "follow", "f", false, "go on until interrupted, also over restarts of instances and of the daemon")
	flags.StringVar(&req.Stream, "stream", "", "stdout or stderr; both when left out")
	flags.StringVar(&sinceText, "since", "", "lines of that time or later: 10m (ago), 18:15, 2026-11-20 18:15:00, RFC 3339")
	flags.StringVar(&untilText, "until", "", "lines before that time, written the same way")
	flags.StringVar(&req.Level, "level", "", "entries at least so grave: "+strings.Join(logLevels, ", "))
	flags.StringVar(&req.Grep, "grep", "", "lines that match a regular expression (RE2)")
	flags.BoolVarP(&req.Invert, "invert-match", "v", false, "with --grep: lines that do not match")
	flags.BoolVar(&req.All, "all", false, "of an app: the instances that are gone, too")
	flags.IntVarP(&req.Lines, "lines", "n", 100, "the last so many of each file; 0 for all")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(logLevels, cobra.ShellCompDirectiveNoFileComp)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{"stdout", "stderr"}, cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := parseTarget(args[0])
		if err != nil {
			return err
		}
		req.Target = t
		if req.Since, err = logTime("since", sinceText, time.Now()); err != nil {
			return err
		}
		if req.Until, err = logTime("until", untilText, time.Now()); err != nil {
			return err
		}
		if err := checkLogRequest(req); err != nil {
			return err
		}
		d, err := c.daemon()
		if err != nil {
			return err
		}
		d.Reconnect = logsPatience
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

// logsPatience is how long logs -f waits for a daemon that went away. The instances write on meanwhile, and nothing of it is
// missed.
const logsPatience = 10 * time.Minute

// logLevels are the levels that --level takes.
var logLevels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// logTime reads a time as people write it: how long ago, or when, in the zone of this machine unless it says another one.
func logTime(flag, text string, now time.Time) (api.Time, error) {
	if text == "" {
		return api.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return api.Time{}, api.Errorf(api.CodeUsage, "--%s is negative", flag)
		}
		return api.Time{Time: now.Add(-d)}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return api.Time{Time: t}, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation("2006-01-02 "+layout, now.Format("2006-01-02 ")+text, time.Local); err == nil {
			if t.After(now) {
				t = t.AddDate(0, 0, -1)
			}
			return api.Time{Time: t}, nil
		}
	}
	return api.Time{}, api.Errorf(api.CodeUsage, "--%s %q is no time: write 10m (ago), 18:15, 2026-11-20 18:15:00 or RFC 3339", flag, text)
}

func checkLogRequest(r api.LogRequest) error {
	switch {
	case r.Stream != "" && r.Stream != "stdout" && r.Stream != "stderr":
		return api.Errorf(api.CodeUsage, "--stream %q is neither stdout nor stderr", r.Stream)
	case r.Lines < 0:
		return api.Errorf(api.CodeUsage, "--lines is negative")
	case r.Level != "" && !slices.Contains(logLevels, r.Level):
		return api.Errorf(api.CodeUsage, "--level %q is none of %s", r.Level, strings.Join(logLevels, ", "))
	case r.Invert && r.Grep == "":
		return api.Errorf(api.CodeUsage, "--invert-match needs --grep")
	case r.All && r.Instance != "":
		return api.Errorf(api.CodeUsage, "--all goes with an app, not with an instance; the logs of one that is gone need no flag")
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
