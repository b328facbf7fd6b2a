package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// cli is one run of the command line: where it reads and writes, and the flags of all verbs.
type cli struct {
	in     io.Reader
	out    io.Writer // results
	err    io.Writer // logs, progress and errors
	getenv func(string) string

	socket string // --socket
	config string // --config
}

func newCLI(in io.Reader, out, err io.Writer, getenv func(string) string) *cli {
	return &cli{in: in, out: out, err: err, getenv: getenv}
}

// run does what args ask for and returns the exit code.
func (c *cli) run(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return c.report(err)
}

// The groups of verbs in the help.
const (
	groupSetup = "setup"
	groupApps  = "apps"
	groupLook  = "look"
	groupMore  = "more"
)

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "beamkeeper VERB",
		Short:             "Deploys and supervises Elixir, Erlang and Gleam releases",
		Long:              "Beamkeeper deploys and supervises Elixir, Erlang and Gleam releases.\n\nbeamkeeper run is the daemon; the other verbs ask it over its control socket.",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	group(root)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &api.Error{Code: api.CodeUsage, Message: err.Error(), Hint: seeHelp(cmd), Err: err}
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.socket, "socket", "", "control socket of the daemon (also $BEAMKEEPER_SOCKET)")
	flags.StringVar(&c.config, "config", "", "configuration file (also $BEAMKEEPER_CONFIG)")
	cobra.CheckErr(root.MarkPersistentFlagFilename("config", "yaml", "yml"))

	root.AddGroup(
		&cobra.Group{ID: groupSetup, Title: "Set up:"},
		&cobra.Group{ID: groupApps, Title: "Apps:"},
		&cobra.Group{ID: groupLook, Title: "Look inside:"},
		&cobra.Group{ID: groupMore, Title: "More:"},
	)
	root.SetHelpCommandGroupID(groupMore)
	add := func(id string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = id
			root.AddCommand(cmd)
		}
	}
	add(groupSetup, c.initCommand(), c.runCommand(), c.epmdCommand(), c.keygenCommand(), c.releaseCommand(), c.configCommand(), c.stateCommand(), c.generateCommand(), c.doctorCommand())
	add(groupApps, c.publishCommand(), c.planCommand(), c.deployCommand(), c.deploymentCommand(), c.startCommand(), c.stopCommand(), c.restartCommand(), c.scaleCommand(), c.rollbackCommand(), c.pinCommand(), c.unpinCommand(), c.freezeCommand(), c.unfreezeCommand(), c.ghostsCommand(), c.adoptCommand(), c.purgeCommand())
	add(groupLook, c.statusCommand(), c.historyCommand(), c.logsCommand(), c.eventsCommand(), c.rpcCommand(), c.nodesCommand())
	add(groupApps, c.pollCommand())
	add(groupMore, c.certCommand(), c.selfCommand(), c.versionCommand(), c.completionCommand())
	return root
}

// group makes cmd one that has verbs below it: without one it shows its help, with a wrong one it suggests.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(cmd, args[0])
		}
		if err := cmd.Help(); err != nil || !cmd.HasParent() {
			return err
		}
		return api.Errorf(api.CodeUsage, "%s needs a verb", cmd.CommandPath())
	}
}

func unknownVerb(cmd *cobra.Command, verb string) error {
	cmd.SuggestionsMinimumDistance = 2
	e := api.Errorf(api.CodeUsage, "%s has no verb %q", cmd.CommandPath(), verb)
	e.Hint = seeHelp(cmd)
	if near := cmd.SuggestionsFor(verb); len(near) > 0 {
		e.Hint = fmt.Sprintf(`did you mean "%s"?`, strings.Join(near, `" or "`))
	}
	return e
}

func seeHelp(cmd *cobra.Command) string { return fmt.Sprintf("see %q", cmd.CommandPath()+" --help") }

// arguments checks the arguments of a verb against their names. A name in brackets may be left out.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s: %s is missing", cmd.CommandPath(), name), Hint: "usage: " + cmd.UseLine()}
			}
		}
		if len(args) > len(names) {
			return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s: %q is one argument too many", cmd.CommandPath(), args[len(names)]), Hint: "usage: " + cmd.UseLine()}
		}
		return nil
	}
}

// jsonFlag gives a reading verb its --json.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "write JSON")
}

// terminal reports whether w is one, and its width.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}
