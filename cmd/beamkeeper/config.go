package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

func (c *cli) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check, show, compare and apply the configuration"}
	group(cmd)
	cmd.AddCommand(c.configCheckCommand(), c.configShowCommand(), c.configDiffCommand(), c.configApplyCommand(), c.configSchemaCommand())
	return cmd
}

func completeConfig(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// configArg lets a verb take the file as an argument too.
func (c *cli) configArg(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.config != "" {
		return api.Errorf(api.CodeUsage, "the configuration is named twice: %s and --config %s", args[0], c.config)
	}
	c.config = args[0]
	return nil
}

func (c *cli) configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "All problems of the configuration, with their lines",
		Long: "Reports all problems at once, each with its line, and lists settings that this version accepts but does not act on.\n" +
			"Exit code 1 when there are problems.",
		Args: arguments("[FILE]"), ValidArgsFunction: completeConfig,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := c.configArg(args); err != nil {
			return err
		}
		cfg, path, err := c.mustConfig()
		if *asJSON {
			return c.printConfigCheck(path, cfg, err)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s: ok, %s\n", path, plural(len(cfg.Applications), "app"))
		for _, n := range cfg.NotYet() {
			fmt.Fprintf(c.out, "%s:%s\n", path, n)
		}
		return nil
	}
	return cmd
}

func (c *cli) printConfigCheck(path string, cfg *config.Config, err error) error {
	answer := struct {
		File     string           `json:"file"`
		OK       bool             `json:"ok"`
		Problems []config.Problem `json:"problems"`
		NotYet   []config.Notice  `json:"not_yet"`
	}{File: path, OK: err == nil, Problems: []config.Problem{}, NotYet: []config.Notice{}}
	bad, isBad := err.(*config.Error) //nolint:errorlint // mustConfig returns it as it is
	switch {
	case isBad:
		answer.Problems = bad.Problems
	case err != nil:
		return err
	default:
		answer.NotYet = append(answer.NotYet, cfg.NotYet()...)
	}
	if perr := printJSON(c.out, answer); perr != nil {
		return perr
	}
	if isBad {
		return reported{exitFailed}
	}
	return nil
}

func (c *cli) configShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [FILE]", Short: "The configuration as it is understood, with all defaults; secrets are masked",
		Args: arguments("[FILE]"), ValidArgsFunction: completeConfig,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := c.configArg(args); err != nil {
			return err
		}
		cfg, _, err := c.mustConfig()
		if err != nil {
			return err
		}
		b := cfg.Show()
		if *asJSON {
			b = cfg.ShowJSON()
		}
		_, err = c.out.Write(withNewline(b))
		return err
	}
	return cmd
}

func (c *cli) configSchemaCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "schema", Short: "The JSON Schema of the configuration, for editors", Args: arguments()}
	jsonFlag(cmd) // it is JSON anyway
	cmd.RunE = func(*cobra.Command, []string) error {
		_, err := c.out.Write(withNewline(config.Schema()))
		return err
	}
	return cmd
}

func withNewline(b []byte) []byte {
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	return b
}
