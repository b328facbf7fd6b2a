package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// completionTimeout bounds how long the shell waits for names.
const completionTimeout = time.Second

func (c *cli) completionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "The completion script of a shell",
		Long: "Writes the completion script of a shell. It completes verbs, flags, and the names of apps and instances, which it\n" +
			"asks the daemon for.\n\n  bash  beamkeeper completion bash > /etc/bash_completion.d/beamkeeper\n" +
			"  zsh   beamkeeper completion zsh > \"${fpath[1]}/_beamkeeper\"\n  fish  beamkeeper completion fish > ~/.config/fish/completions/beamkeeper.fish",
		Args:              arguments("bash|zsh|fish"),
		ValidArgsFunction: cobra.FixedCompletions([]string{"bash", "zsh", "fish"}, cobra.ShellCompDirectiveNoFileComp),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch root := cmd.Root(); args[0] {
		case "bash":
			return root.GenBashCompletionV2(c.out, true)
		case "zsh":
			return root.GenZshCompletion(c.out)
		case "fish":
			return root.GenFishCompletion(c.out, true)
		}
		return api.Errorf(api.CodeUsage, "%q is neither bash, zsh nor fish", args[0])
	}
	return cmd
}

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeApps completes the first argument, the name of an app.
func (c *cli) completeApps(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 1 && (cmd.Name() == "deploy" || cmd.Name() == "publish"):
		return nil, cobra.ShellCompDirectiveDefault // a file
	case len(args) > 0:
		return nil, noFiles
	}
	return c.knownApps(cmd.Context()), noFiles
}

// completeTargets completes APP or APP/INSTANCE.
func (c *cli) completeTargets(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	s, ok := c.quickStatus(cmd.Context())
	if !ok {
		return c.knownApps(cmd.Context()), noFiles
	}
	var names []string
	for _, a := range s.Apps {
		names = append(names, a.Name)
		for _, i := range a.Instances {
			names = append(names, a.Name+"/"+i.Name+"\t"+string(i.State)+" "+i.Version)
		}
	}
	return names, noFiles
}

// completeDeployments completes the ID of a deployment.
func (c *cli) completeDeployments(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	d, err := c.daemon()
	if err != nil {
		return nil, noFiles
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	ds, err := d.Deployments(ctx, "", 20)
	if err != nil {
		return nil, noFiles
	}
	ids := make([]string, len(ds))
	for i, d := range ds {
		ids[i] = d.ID + "\t" + d.App + " " + d.To + " " + d.Outcome
	}
	return ids, noFiles | cobra.ShellCompDirectiveKeepOrder
}

// knownApps asks the daemon, or else reads the configuration.
func (c *cli) knownApps(ctx context.Context) []string {
	if s, ok := c.quickStatus(ctx); ok {
		return appNames(s)
	}
	cfg, _, err := c.mustConfig()
	if err != nil {
		return nil
	}
	var names []string
	for _, a := range cfg.Applications {
		names = append(names, a.Name)
	}
	return names
}

func (c *cli) quickStatus(ctx context.Context) (api.Status, bool) {
	d, err := c.daemon()
	if err != nil {
		return api.Status{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	s, err := d.Status(ctx)
	return s, err == nil
}
