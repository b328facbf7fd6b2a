package main

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/packaging"
)

// generateTerraformCommand makes a root module for a cloud, aws or gcp, with the values of the configuration.
func (c *cli) generateTerraformCommand(cloud string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "terraform-" + cloud, Short: "A Terraform root module for a host with one app, its bucket and its rights",
		Long: "Prints a Terraform root module with the values of the configuration. With --output the modules it uses are written\n" +
			"beside it. Values that the configuration does not have are variables. The modules are parsed and checked for format\n" +
			"by the project's tests; they were never planned or applied there.",
		Example: "  beamkeeper generate terraform-" + cloud + " --app shop --output infra",
	}
	name := cmd.Flags().String("app", "", "the app (default: the only one)")
	output := func() bool { return cmd.Flags().Changed("output") }
	return c.generateFiles(cmd, func() ([]generatedFile, error) {
		cfg, path, err := c.mustConfig()
		if err != nil {
			return nil, err
		}
		app, err := namedApp(cfg, *name)
		if err != nil {
			return nil, err
		}
		source := "github.com/beamkeeper/beamkeeper//packaging/terraform/" + cloud
		var files []generatedFile
		if output() {
			source = "./terraform/" + cloud
			if files, err = terraformModules(cloud); err != nil {
				return nil, err
			}
		}
		text, err := fill("terraform-"+cloud+".tf", terraformData(cfg, app, path, source))
		return append([]generatedFile{{name: "main.tf", mode: 0o644, text: text}}, files...), err
	})
}

// namedApp finds the app of that name; empty: the only one.
func namedApp(cfg *config.Config, name string) (config.App, error) {
	var names []string
	for _, a := range cfg.Applications {
		if a.Name == name || name == "" && len(cfg.Applications) == 1 {
			return a, nil
		}
		names = append(names, a.Name)
	}
	if name == "" {
		return config.App{}, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("the configuration has %d apps", len(names)), Hint: "--app " + strings.Join(names, "|")}
	}
	return config.App{}, noSuchApp(name, names)
}

type terraformValues struct {
	Config, Source string
	App            config.App
	Account        string
	Hostname       string
	Port           int
	Bucket, Region string
	SecretsPath    string
}

func terraformData(cfg *config.Config, app config.App, path, source string) terraformValues {
	v := terraformValues{
		Config: path, Source: source, App: app, Account: cfg.AccountName, Hostname: cfg.Hostname, Port: 4000,
		Bucket: app.Name + "-releases", Region: cfg.AWSRegion, SecretsPath: cfg.SecretsPath,
	}
	if cfg.ReleaseAdapter != config.ReleaseLocal {
		v.Bucket = cfg.ReleaseBucket
	}
	if len(app.ReplicaPorts) > 0 {
		v.Port = app.ReplicaPorts[0].Base
	}
	if v.Hostname == "" {
		v.Hostname = app.Name + ".example.org"
	}
	if v.SecretsPath == "" {
		v.SecretsPath = "beamkeeper-" + app.Name + "-" + cfg.AccountName
	}
	return v
}

// terraformModules are the files of a cloud's module and of what it uses.
func terraformModules(cloud string) ([]generatedFile, error) {
	var files []generatedFile
	for _, dir := range []string{"terraform/" + cloud, "terraform/cloud-init"} {
		err := fs.WalkDir(packaging.Terraform, dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := packaging.Terraform.ReadFile(path)
			files = append(files, generatedFile{name: path, mode: 0o644, text: b})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}
