package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
	"unicode"

	"gopkg.in/yaml.v3"
)

// ExampleOptions say what Example writes. The zero value is a system-wide installation with one Elixir app "myapp".
type ExampleOptions struct {
	Dir      string   // folder that holds everything; empty: /var/lib/beamkeeper, /var/log/beamkeeper, /run/beamkeeper
	App      string   // name of the app; empty: myapp
	Language Language // empty: elixir
	Replicas int      // 0: 2
	Port     int      // base of PORT; 0: 4000
}

// Example gives a commented configuration file for one app that Parse accepts. What it says is what it does: nothing in
// it is a setting without effect.
//
// Errors: *Error when the options make no valid configuration, such as an app name with a space.
func Example(o ExampleOptions) ([]byte, error) {
	if o.App == "" {
		o.App = "myapp"
	}
	if o.Language == "" {
		o.Language = Elixir
	}
	if o.Replicas == 0 {
		o.Replicas = 2
	}
	if o.Port == 0 {
		o.Port = 4000
	}
	if strings.ContainsFunc(o.Dir+o.App, unicode.IsControl) {
		return nil, fmt.Errorf("config: example: a control character in %q or %q", o.Dir, o.App)
	}
	d := struct {
		ExampleOptions
		Bucket, Var, Log, AppLog, Socket string
	}{
		ExampleOptions: o,
		Bucket:         "/var/lib/beamkeeper/bucket",
		Var:            "/var/lib/beamkeeper",
		Log:            "/var/log/beamkeeper",
		AppLog:         "/var/log/monitored-apps",
		Socket:         "/run/beamkeeper/beamkeeper.sock",
	}
	if o.Dir != "" {
		in := func(name string) string { return filepath.Join(o.Dir, name) }
		d.Bucket, d.Var, d.Log, d.AppLog, d.Socket = in("bucket"), in("var"), in("log"), in("log/apps"), in("beamkeeper.sock")
	}
	var b strings.Builder
	if err := example.Execute(&b, d); err != nil {
		return nil, fmt.Errorf("config: example: %w", err)
	}
	if _, err := Parse("example", []byte(b.String())); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

var example = template.Must(template.New("example").Funcs(template.FuncMap{"yaml": quote, "add": func(a, b int) int { return a + b }}).Parse(
	`# Configuration of Beamkeeper. Every key with its default: docs/configuration.md.
# "beamkeeper config check" reads this file as the daemon does; "beamkeeper config show" prints it with all defaults.
# Relative paths start from the folder of this file. A running daemon watches it: "beamkeeper config diff" shows what is not
# in force yet, "beamkeeper config apply" puts that in force.

# Releases come from a bucket: {{.Bucket}}
#   versions/{{.App}}/local/current.json        which version should run
#   dist/{{.App}}/{{.App}}-VERSION.tar.gz       the releases
# "beamkeeper publish {{.App}} FILE" puts a release there.
account_name: local
release_adapter: local
release_bucket: {{yaml .Bucket}}

# none: the cookie is that of node.cookie_file, or one made at the first start in {{.Var}}/cookie.
# env: it is DEPLOYEX_ERLANG_COOKIE in the daemon's environment.
secrets_adapter: none

var_path: {{yaml .Var}}
# log_path: {{yaml .Log}} # the daemon's own log; without it that goes to standard error
monitored_app_log_path: {{yaml .AppLog}}

# The daemon joins the Erlang distribution as a hidden node, beamkeeper@HOST.
node:
  name: beamkeeper
  listen: "127.0.0.1:0"
  allow: ["observer@*"] # nodes besides the instances that may connect
  # tls: {mode: own_ca} # mutual TLS with certificates that the daemon makes; the releases need the application ssl

# What the command line talks to.
control:
  socket: {{yaml .Socket}}

release:
  keep_releases: 3

# Log files of the instances: rotated at 20 MiB and once a day, seven compressed archives of each are kept.
logs:
  max_bytes: 20MiB
  archives: 7

applications:
  - name: {{yaml .App}} # as in bin/{{.App}} of the release
    language: {{.Language}} # elixir, erlang or gleam
    replicas: {{.Replicas}}

    # Each instance gets its own port; {{add .Replicas 1}} are taken, {{.Port}} to {{add .Port .Replicas}}, because during a
    # deployment one more instance runs.
    replica_ports:
      - key: PORT
        base: {{.Port}}

    # Environment of the instances; values are taken as they are.
    env:
      - key: LANG
        value: C.UTF-8

    # Ready: the process runs, its node is up, its OTP application is started, and the probe passes.
    readiness:
      timeout_ms: 60000
      # application: {{.App}}
      # probe: {http: "http://127.0.0.1:${PORT}/health"} # or tcp: "127.0.0.1:${PORT}", rpc: "m:f()", exec: [program, argument]

    # One instance is replaced at a time; the old one stops when the new one is ready.
    strategy:
      max_unavailable: 0
      max_parallel: 1

    # init:stop first, SIGTERM after so long, then SIGKILL.
    stop:
      timeout_ms: 15000

    # More crashes than this within ten minutes, and an instance is given up until told otherwise.
    crash_loop:
      limit: 10
      window_ms: 600000
`))

// quote writes text as YAML does, in quotes where it needs them.
func quote(s string) (string, error) {
	b, err := yaml.Marshal(s)
	return strings.TrimSpace(string(b)), err
}
