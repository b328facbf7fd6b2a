package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

// sudoersVerbs are the verbs that sudo may be given for, with their command lines. %s stands for the app; a verb without
// it is one for the whole daemon.
var sudoersVerbs = []struct{ verb, line string }{
	{"status", "status %s"},
	{"deploy", "deploy %s"}, // what current.json names
	{"start", "start %s"},
	{"stop", "stop %s"},
	{"restart", "restart %s"},
	{"history", "history %s"},
	{"config-diff", "config diff"},
	{"config-apply", "config apply --yes"},
}

func (c *cli) generateSudoersCommand() *cobra.Command {
	var verbs []string
	for _, v := range sudoersVerbs {
		verbs = append(verbs, v.verb)
	}
	cmd := &cobra.Command{
		Use: "sudoers (--group GROUP | --user USER)", Short: "A sudoers file that lets a deploy group use some verbs",
		Long: "Prints a file for /etc/sudoers.d that lets a group or a user use the verbs named, as root, for the apps of the\n" +
			"configuration. Each command line is written out whole, without wildcards: nothing can be added to it.\n\n" +
			"control.grant gives such rights without sudo.\n\nVerbs: " + strings.Join(verbs, ", ") + ".",
		Args: arguments(), Example: "  beamkeeper generate sudoers --group deploy --verbs deploy,restart | sudo tee /etc/sudoers.d/beamkeeper",
	}
	var o sudoersOptions
	flags := cmd.Flags()
	flags.StringVar(&o.group, "group", "", "who may: the members of this group")
	flags.StringVar(&o.user, "user", "", "who may: this user")
	flags.StringSliceVar(&o.verbs, "verbs", []string{"deploy", "restart"}, "what they may do")
	flags.StringSliceVar(&o.apps, "app", nil, "with which apps (default: all of the configuration)")
	flags.StringVar(&o.binary, "binary", "", "path of the program (default: the one that runs now)")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("verbs", cobra.FixedCompletions(verbs, noFiles)))
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, _, err := c.mustConfig()
		if err != nil {
			return err
		}
		return writeSudoers(c.out, cfg, o)
	}
	return cmd
}

// sudoersOptions say who may do what.
type sudoersOptions struct {
	group, user string
	verbs, apps []string
	binary      string
}

// account is the name of a user or group that sudoers takes without quoting.
var account = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*[$]?$`)

// sudoersPath is a path that sudoers takes without quoting.
var sudoersPath = regexp.MustCompile(`^/[A-Za-z0-9_./+-]+$`)

func writeSudoers(w io.Writer, cfg *config.Config, o sudoersOptions) error {
	who, name := o.user, o.user
	if o.group != "" {
		who, name = "%"+o.group, o.group
	}
	switch {
	case (o.group == "") == (o.user == ""):
		return api.Errorf(api.CodeUsage, "name either --group or --user")
	case !account.MatchString(name):
		return api.Errorf(api.CodeUsage, "%q is not the name of a user or group", name)
	}
	if o.binary == "" {
		own, err := os.Executable()
		if err != nil {
			return err
		}
		o.binary = own
	}
	if !sudoersPath.MatchString(o.binary) {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q is not a path that can stand in a sudoers file", o.binary), Hint: "--binary /usr/bin/beamkeeper"}
	}
	var apps []string
	for _, a := range cfg.Applications {
		apps = append(apps, a.Name)
	}
	if len(o.apps) > 0 {
		for _, a := range o.apps {
			if !slices.Contains(apps, a) {
				return noSuchApp(a, apps)
			}
		}
		apps = o.apps
	}
	var lines []string
	for _, verb := range o.verbs {
		i := slices.IndexFunc(sudoersVerbs, func(v struct{ verb, line string }) bool { return v.verb == verb })
		if i < 0 {
			return api.Errorf(api.CodeUsage, "%q is no verb that this can give", verb)
		}
		line := sudoersVerbs[i].line
		if !strings.Contains(line, "%s") {
			lines = append(lines, o.binary+" "+line)
			continue
		}
		for _, a := range apps {
			lines = append(lines, o.binary+" "+fmt.Sprintf(line, a))
		}
	}
	if len(lines) == 0 {
		return api.Errorf(api.CodeUsage, "there is nothing to give: no verbs, or no apps")
	}
	fmt.Fprintf(w, "# What %s may do with beamkeeper. For /etc/sudoers.d/beamkeeper, mode 0440.\n", who)
	fmt.Fprintf(w, "# Check it before it is there: visudo -cf FILE. A broken file there can lock sudo for everybody.\n")
	fmt.Fprintf(w, "Cmnd_Alias BEAMKEEPER = %s\n", strings.Join(lines, ", \\\n    "))
	_, err := fmt.Fprintf(w, "%s ALL = (root) NOPASSWD: BEAMKEEPER\n", who)
	return err
}
