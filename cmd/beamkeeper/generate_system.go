package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

//go:embed templates
var templates embed.FS

// fill fills a template of templates/. quote is for a word of a shell script.
func fill(name string, data any) ([]byte, error) {
	text, err := templates.ReadFile("templates/" + name + ".tmpl")
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"quote": quoteWord}).Parse(string(text))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// quoteWord gives text as one word of a shell command.
func quoteWord(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-", r)
	}) < 0
	if s != "" && plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// one makes a single file from the configuration.
func (c *cli) one(name, target string, mode os.FileMode, data func(cfg *config.Config, path string) (any, error)) func() ([]generatedFile, error) {
	return func() ([]generatedFile, error) {
		cfg, path, err := c.mustConfig()
		if err != nil {
			return nil, err
		}
		d, err := data(cfg, path)
		if err != nil {
			return nil, err
		}
		text, err := fill(name, d)
		return []generatedFile{{name: target, mode: mode, text: text}}, err
	}
}

func (c *cli) generateUsersCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "users", Short: "A script that makes the OS users and groups of the apps"}
	group := cmd.Flags().String("deploy-group", "", "also make this group, whose members may deploy")
	return c.generateFiles(cmd, c.one("users.sh", "beamkeeper-users.sh", 0o755, func(cfg *config.Config, path string) (any, error) {
		if *group != "" && !account.MatchString(*group) {
			return nil, api.Errorf(api.CodeUsage, "%q is not the name of a group", *group)
		}
		type app struct{ Name, User, Group, Home string }
		d := struct {
			Config, DeployGroup string
			Apps                []app
		}{Config: path, DeployGroup: *group}
		for _, a := range cfg.Applications {
			home := "/nonexistent"
			for _, dir := range a.Dirs {
				if dir.Kind == "state" {
					if home = dir.Path; home == "" {
						home = filepath.Join("/var/lib", a.Name)
					}
				}
			}
			d.Apps = append(d.Apps, app{Name: a.Name, User: a.User, Group: a.Group, Home: home})
		}
		return d, nil
	}))
}

func (c *cli) generateLogrotateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "logrotate", Short: "A logrotate file for what does not rotate by itself"}
	return c.generateFiles(cmd, c.one("logrotate", "beamkeeper", 0o644, func(cfg *config.Config, _ string) (any, error) {
		return struct{ AppLogs, Var string }{cfg.MonitoredAppLogPath, cfg.VarPath}, nil
	}))
}

func (c *cli) generateNginxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "nginx", Short: "nginx before the apps: upstreams with replicas + 1 ports, and a server for each",
		Example: "  beamkeeper generate nginx --host shop=shop.example.org | sudo tee /etc/nginx/conf.d/beamkeeper.conf",
	}
	hosts := cmd.Flags().StringToString("host", nil, "APP=NAME: the host name of an app (default: APP.<hostname of the configuration>)")
	return c.generateFiles(cmd, c.one("nginx.conf", "beamkeeper.conf", 0o644, func(cfg *config.Config, path string) (any, error) {
		return nginxData(cfg, path, *hosts)
	}))
}

type nginxUpstream struct {
	Name  string
	Ports []int
}

type nginxServer struct{ Host, Upstream string }

type nginx struct {
	Config    string
	Upstreams []nginxUpstream
	Servers   []nginxServer
}

func nginxData(cfg *config.Config, path string, hosts map[string]string) (nginx, error) {
	d := nginx{Config: path}
	known := make(map[string]bool)
	var names []string
	for _, a := range cfg.Applications {
		known[a.Name] = true
		names = append(names, a.Name)
		for i, p := range a.ReplicaPorts {
			u := nginxUpstream{Name: strings.ToLower(a.Name)}
			if i > 0 {
				u.Name += "_" + strings.ToLower(p.Key)
			}
			for slot := range a.Replicas + 1 {
				u.Ports = append(u.Ports, p.Base+slot)
			}
			d.Upstreams = append(d.Upstreams, u)
			if i > 0 {
				continue // the first is the one that the world asks
			}
			host := hosts[a.Name]
			switch {
			case host != "":
			case cfg.Hostname != "" && len(cfg.Applications) == 1:
				host = cfg.Hostname
			case cfg.Hostname != "":
				host = a.Name + "." + cfg.Hostname
			default:
				host = a.Name + ".example.org"
			}
			if strings.ContainsAny(host, " ;{}\"'$\\\n\t#") {
				return d, api.Errorf(api.CodeUsage, "%q is not the name of a host", host)
			}
			d.Servers = append(d.Servers, nginxServer{Host: host, Upstream: u.Name})
		}
	}
	for a := range hosts {
		if !known[a] {
			return d, noSuchApp(a, names)
		}
	}
	if len(d.Upstreams) == 0 {
		return d, &api.Error{Code: api.CodeNotFound, Message: "no app has replica_ports: there is nothing that nginx could ask", Hint: "give the apps replica_ports"}
	}
	return d, nil
}

func (c *cli) generateCodeDeployCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "codedeploy --app APP", Short: "An AWS CodeDeploy appspec.yml with its hook scripts",
		Example: "  beamkeeper generate codedeploy --app shop --output revision",
	}
	flags := cmd.Flags()
	name := flags.String("app", "", "the app (default: the only one)")
	staging := flags.String("staging", "/var/lib/beamkeeper/codedeploy", "where CodeDeploy puts the release on the host")
	binary := flags.String("binary", "/usr/bin/beamkeeper", "path of the program on the host")
	timeout := flags.Int("timeout", 900, "seconds that a deployment may take")
	return c.generateFiles(cmd, func() ([]generatedFile, error) {
		cfg, _, err := c.mustConfig()
		if err != nil {
			return nil, err
		}
		a, err := namedApp(cfg, *name)
		if err != nil {
			return nil, err
		}
		app := a.Name
		if *timeout < 1 || *timeout > 3600 {
			return nil, api.Errorf(api.CodeUsage, "--timeout %d is not from 1 to 3600 seconds, which is what CodeDeploy allows", *timeout)
		}
		d := struct {
			App, Staging, File, Beamkeeper string
			Timeout                        int
		}{app, *staging, filepath.Join(*staging, app+".tar.gz"), quoteWord(*binary), *timeout}
		var files []generatedFile
		for _, f := range []struct {
			template, name string
			mode           os.FileMode
		}{
			{"codedeploy/appspec.yml", "appspec.yml", 0o644},
			{"codedeploy/before_install.sh", "scripts/before_install.sh", 0o755},
			{"codedeploy/application_start.sh", "scripts/application_start.sh", 0o755},
			{"codedeploy/validate_service.sh", "scripts/validate_service.sh", 0o755},
		} {
			text, err := fill(f.template, d)
			if err != nil {
				return nil, fmt.Errorf("generate %s: %w", f.name, err)
			}
			files = append(files, generatedFile{name: f.name, mode: f.mode, text: text})
		}
		return files, nil
	})
}
