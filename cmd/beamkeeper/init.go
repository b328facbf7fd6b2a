package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/secrets"
)

func (c *cli) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a commented configuration, a cookie and a local bucket",
		Long: "Makes a commented configuration, a cookie and a local bucket, all in one folder. With --system in the system's:\n" +
			"/etc/beamkeeper, /var/lib/beamkeeper, /var/log, /run/beamkeeper. Nothing that exists is overwritten.",
		Args: arguments(),
	}
	var o config.ExampleOptions
	dir := cmd.Flags().String("dir", ".", "folder that holds everything")
	system := cmd.Flags().Bool("system", false, "install for the whole system instead")
	cmd.Flags().StringVar(&o.App, "app", "", `name of the app; default "myapp"`)
	language := cmd.Flags().String("language", "elixir", "elixir, erlang or gleam")
	cmd.Flags().IntVar(&o.Replicas, "replicas", 2, "how many instances run")
	cmd.Flags().IntVar(&o.Port, "port", 4000, "first port of the instances")
	from := cmd.Flags().String("from-deployex", "", "take over an installation of DeployEx: its YAML file")
	cobra.CheckErr(cmd.MarkFlagFilename("from-deployex", "yaml", "yml"))
	cobra.CheckErr(cmd.MarkFlagDirname("dir"))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("language", cobra.FixedCompletions([]string{"elixir", "erlang", "gleam"}, noFiles)))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Language = config.Language(*language)
		file := systemConfig
		if !*system {
			abs, err := filepath.Abs(*dir)
			if err != nil {
				return err
			}
			o.Dir, file = abs, filepath.Join(abs, configName)
		} else if cmd.Flags().Changed("dir") {
			return api.Errorf(api.CodeUsage, "--dir and --system exclude each other")
		}
		if *from != "" {
			return c.initFromDeployEx(*from, file, o.Dir)
		}
		return c.initialize(file, o)
	}
	return cmd
}

func (c *cli) initialize(file string, o config.ExampleOptions) error {
	text, err := config.Example(o)
	if err != nil { // a wrong name or language
		var bad *config.Error
		if errors.As(err, &bad) && len(bad.Problems) > 0 {
			p := bad.Problems[0]
			return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s: %s", p.Path, p.Message), Hint: p.Hint}
		}
		return api.Errorf(api.CodeUsage, "%v", err)
	}
	cfg, err := config.Parse(file, text)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s exists; nothing was changed", file), Hint: "edit it, remove it, or choose another folder with --dir"}
	}
	folders := []string{filepath.Dir(file), cfg.VarPath, cfg.MonitoredAppLogPath, cfg.ReleaseBucket, filepath.Dir(cfg.Control.Socket)}
	for _, d := range folders {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return initError(err)
		}
	}
	sec, err := secrets.Load(secrets.Options{CookieFile: cfg.Node.CookieFile, Adapter: string(cfg.SecretsAdapter), Generated: cfg.CookiePath(), Getenv: c.getenv})
	if err != nil {
		return initError(err)
	}
	if err := writeNew(file, text); err != nil {
		return initError(err)
	}
	c.printInit(file, cfg, sec.CookieFrom)
	return nil
}

// writeNew writes a file that does not exist yet, and leaves nothing behind when it cannot.
func writeNew(file string, b []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(file) // the first error is the one to tell
	}
	return err
}

func initError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &api.Error{Code: api.CodeDenied, Message: err.Error(), Hint: "run it as a user who may write there, or choose a folder of yours with --dir", Err: err}
	}
	return err
}

func (c *cli) printInit(file string, cfg *config.Config, cookie string) {
	t := newTable(c.out)
	t.row("configuration", file)
	t.row("bucket", cfg.ReleaseBucket)
	t.row("cookie", cookie)
	t.row("state", cfg.VarPath)
	t.row("logs", cfg.MonitoredAppLogPath)
	t.row("control socket", cfg.Control.Socket)
	_ = t.flush() // as for any other line on stdout
	app := "myapp"
	if len(cfg.Applications) > 0 {
		app = cfg.Applications[0].Name
	}
	flag := ""
	if file != systemConfig {
		flag = " --config " + file
		if wd, err := os.Getwd(); err == nil && filepath.Join(wd, configName) == file {
			flag = ""
		}
	}
	fmt.Fprintln(c.out, "\nNext:")
	t = newTable(c.out)
	t.row("  beamkeeper run"+flag, "the daemon; stays in this terminal")
	t.row("  beamkeeper publish"+flag+" "+app+" FILE.tar.gz", "a release; the daemon deploys it at once")
	t.row("  beamkeeper status"+flag, "what runs")
	_ = t.flush()
}
