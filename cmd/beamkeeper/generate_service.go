package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

// newestSystemd is the version of systemd whose settings the units use when the host has none.
const newestSystemd = 257

//go:embed templates/service
var serviceTemplates embed.FS

// serviceOptions are what the templates are made from.
type serviceOptions struct {
	Binary  string
	Config  string // "" for the default place
	Version int    // of systemd

	Socket      string // of the control API
	SocketMode  string
	SocketGroup string // "" for root
	Listen      string // of the web, "" for off
	Runtime     string // names below /run, /var/lib, /var/log; "" when the paths are elsewhere
	State       string
	Logs        string
	Credentials []credential
	StopSeconds int // how long all instances may take
}

type credential struct{ Name, Path string }

// generateServiceCommands are the kinds of files for service managers.
func (c *cli) generateServiceCommands() []*cobra.Command {
	kind := func(use, short string, files func(serviceOptions) ([]generatedFile, error)) *cobra.Command {
		cmd := &cobra.Command{Use: use, Short: short, Long: "Prints files made from the configuration; each is named by the place where it belongs. --output / puts them there."}
		binary := cmd.Flags().String("binary", "", "path of the program (default: the one that runs now)")
		version := new(int)
		if use == "systemd" {
			version = cmd.Flags().Int("systemd-version", 0, "version of systemd to write for, 247 or later (default: the host's)")
		}
		return c.generateFiles(cmd, func() ([]generatedFile, error) {
			cfg, path, err := c.mustConfig()
			if err != nil {
				return nil, err
			}
			if *version == 0 {
				*version = hostSystemd(cmd)
			}
			o, err := newServiceOptions(cfg, path, *binary, *version)
			if err != nil {
				return nil, err
			}
			return files(o)
		})
	}
	return []*cobra.Command{
		kind("systemd", "Units for systemd", systemdFiles),
		kind("openrc", "A script for OpenRC", renderFiles(placed{"beamkeeper.openrc", "etc/init.d/beamkeeper", 0o755})),
		kind("runit", "A service folder for runit", renderFiles(placed{"runit-run", "etc/sv/beamkeeper/run", 0o755}, placed{"runit-log-run", "etc/sv/beamkeeper/log/run", 0o755})),
	}
}

// hostSystemd is the version of the host's systemd.
func hostSystemd(cmd *cobra.Command) int {
	out, err := exec.CommandContext(cmd.Context(), "systemctl", "--version").Output()
	if err != nil {
		return newestSystemd
	}
	var n int
	if _, err := fmt.Sscanf(string(out), "systemd %d", &n); err != nil {
		return newestSystemd
	}
	return n
}

func newServiceOptions(cfg *config.Config, file, binary string, version int) (serviceOptions, error) {
	if binary == "" {
		own, err := os.Executable()
		if err != nil {
			return serviceOptions{}, err
		}
		binary = own
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return serviceOptions{}, err
	}
	if file == config.DefaultPath {
		file = ""
	}
	for _, path := range []string{binary, file, cfg.Control.Socket} {
		if strings.ContainsAny(path, " \t\n\"'\\%$;") {
			return serviceOptions{}, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%q cannot stand in a unit file as it is", path), Hint: "use a path without spaces, quotes, %, $ and ;"}
		}
	}
	o := serviceOptions{
		Binary: binary, Config: file, Version: version, Listen: cfg.Web.Listen,
		Socket: cfg.Control.Socket, SocketMode: fmt.Sprintf("%04o", socketMode(cfg.Control)), SocketGroup: cfg.Control.Group,
		Runtime: below("/run", filepath.Dir(cfg.Control.Socket)), State: below("/var/lib", cfg.VarPath), Logs: below("/var/log", cfg.MonitoredAppLogPath),
	}
	stop := closeTimeout
	for _, a := range cfg.Applications {
		stop = max(stop, closeTimeout+a.Stop.Timeout+killAfter)
	}
	o.StopSeconds = int((stop + 5*time.Second).Seconds())
	if cfg.Node.CookieFile != "" {
		o.Credentials = append(o.Credentials, credential{"cookie", cfg.Node.CookieFile})
	}
	for _, a := range cfg.Applications {
		if a.CookieFile != "" {
			o.Credentials = append(o.Credentials, credential{"cookie." + a.Name, a.CookieFile})
		}
	}
	return o, nil
}

// below is the name of a folder right below one that systemd makes folders in, "" when it is elsewhere.
func below(top, dir string) string {
	name, ok := strings.CutPrefix(dir, top+"/")
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	return name
}

// Has says whether the version of systemd knows what came with v.
func (o serviceOptions) Has(v int) bool { return o.Version >= v }

// Args are those of the daemon.
func (o serviceOptions) Args() string {
	if o.Config == "" {
		return "run"
	}
	return "--config " + o.Config + " run"
}

// placed is a template and where its file belongs.
type placed struct {
	template, name string
	mode           fs.FileMode
}

const unitFolder = "etc/systemd/system/"

func systemdFiles(o serviceOptions) ([]generatedFile, error) {
	files := []placed{
		{"beamkeeper.service", unitFolder + "beamkeeper.service", 0o644},
		{"beamkeeper.slice", unitFolder + "beamkeeper.slice", 0o644},
		{"beamkeeper.socket", unitFolder + "beamkeeper.socket", 0o644},
	}
	if o.Listen != "" {
		files = append(files, placed{"beamkeeper-web.socket", unitFolder + "beamkeeper-web.socket", 0o644})
	}
	files = append(files, placed{"needrestart.conf", "etc/needrestart/conf.d/beamkeeper.conf", 0o644})
	return renderFiles(files...)(o)
}

func renderFiles(files ...placed) func(serviceOptions) ([]generatedFile, error) {
	return func(o serviceOptions) ([]generatedFile, error) {
		var all []generatedFile
		for _, f := range files {
			t, err := template.ParseFS(serviceTemplates, "templates/service/"+f.template)
			if err != nil {
				return nil, err
			}
			var b bytes.Buffer
			if err := t.Execute(&b, o); err != nil {
				return nil, fmt.Errorf("generate %s: %w", f.name, err)
			}
			all = append(all, generatedFile{f.name, f.mode, b.Bytes()})
		}
		return all, nil
	}
}
