package config

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// VariablesName stands for the file's name where the configuration comes from variables.
const VariablesName = "DEPLOYEX_* variables"

// variableApp is the variable without which there is no configuration in the environment.
const variableApp = "DEPLOYEX_MONITORED_APP_NAME"

// variables are those of DeployEx's first versions, with the key that each sets. Those without a key are known and used
// elsewhere, or by nothing: a dashboard, say.
var variables = map[string]string{
	variableApp:                            "applications[0].name",
	"DEPLOYEX_MONITORED_APP_LANG":          "applications[0].language",
	"DEPLOYEX_MONITORED_APP_PORT":          "applications[0].replica_ports[0].base",
	"DEPLOYEX_MONITORED_REPLICAS":          "applications[0].replicas",
	"DEPLOYEX_DEPLOY_TIMEOUT_ROLLBACK_MS":  "applications[0].deploy_rollback_timeout_ms",
	"DEPLOYEX_DEPLOY_SCHEDULE_INTERVAL_MS": "applications[0].deploy_schedule_interval_ms",
	"DEPLOYEX_CLOUD_ENVIRONMENT":           "account_name",
	"DEPLOYEX_PHX_HOST":                    "hostname",
	"DEPLOYEX_PHX_PORT":                    "port",
	"DEPLOYEX_RELEASE_ADAPTER":             "release_adapter",
	"DEPLOYEX_STORAGE_ADAPTER":             "release_adapter", // the oldest name of it
	"DEPLOYEX_RELEASE_BUCKET":              "release_bucket",
	"DEPLOYEX_SECRETS_ADAPTER":             "secrets_adapter",
	"DEPLOYEX_SECRETS_PATH":                "secrets_path",
	"AWS_REGION":                           "aws_region",
	"GOOGLE_APPLICATION_CREDENTIALS":       "google_credentials",

	"DEPLOYEX_PHX_SERVER":            "",
	"DEPLOYEX_CONFIG_YAML_PATH":      "",
	"DEPLOYEX_OTP_TLS_CERT_PATH":     "",
	"DEPLOYEX_ERLANG_COOKIE":         "",
	"DEPLOYEX_SECRET_KEY_BASE":       "",
	"DEPLOYEX_ADMIN_HASHED_PASSWORD": "",
}

// HasVariables reports whether the environment has the variables of a configuration.
func HasVariables(getenv func(string) string) bool { return getenv(variableApp) != "" }

// FromVariables reads the configuration of one app from the variables of DeployEx's first versions. What they leave out
// has the defaults of those versions: three replicas, from port 4000 on. Environ is os.Environ().
//
// Errors: *Error with all problems, each with the name of the variable.
func FromVariables(environ []string) (*Config, error) {
	values := map[string]string{"DEPLOYEX_MONITORED_APP_PORT": "4000"}
	var problems []Problem
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if value == "" {
			continue
		}
		_, known := variables[name]
		switch {
		case known:
			values[name] = value
		case strings.HasPrefix(name, "DEPLOYEX_"):
			q := Problem{Kind: KindUnknown, Path: name, Message: "unknown variable"}
			if near := nearest(name, variableNames()); near != "" {
				q.Hint = "did you mean " + near + "?"
			}
			problems = append(problems, q)
		}
	}
	if values["DEPLOYEX_RELEASE_ADAPTER"] != "" {
		delete(values, "DEPLOYEX_STORAGE_ADAPTER")
	}
	top, app := &yaml.Node{Kind: yaml.MappingNode}, &yaml.Node{Kind: yaml.MappingNode}
	byKey := make(map[string]string) // the variable that set it
	for _, name := range variableNames() {
		value, key := values[name], variables[name]
		if value == "" || key == "" {
			continue
		}
		byKey[key] = name
		scalar := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
		if !isDigits(value) {
			scalar.SetString(value)
		}
		in := top
		if rest, ok := strings.CutPrefix(key, "applications[0]."); ok {
			in, key = app, rest
		}
		if key == "replica_ports[0].base" {
			key = "replica_ports"
			port := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{textNode("key"), textNode("PORT"), textNode("base"), scalar}}
			scalar = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{port}}
		}
		in.Content = append(in.Content, textNode(key), scalar)
	}
	top.Content = append(top.Content, textNode("applications"), &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{app}})
	b, err := yaml.Marshal(top)
	if err != nil {
		return nil, fmt.Errorf("config: %s: %w", VariablesName, err)
	}
	c, err := Parse("/", b)          // there is no file that paths could start from
	if bad, ok := err.(*Error); ok { //nolint:errorlint // Parse returns it as it is
		for _, q := range bad.Problems {
			q.Line, q.Column = 0, 0
			if name := byKey[q.Path]; name != "" {
				q.Path = name
			}
			problems = append(problems, q)
		}
	} else if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, &Error{File: VariablesName, Problems: problems}
	}
	c.File, c.FromFile = VariablesName, false
	return c, nil
}

// variableNames lists the variables, sorted.
func variableNames() []string {
	var names []string
	for name := range variables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
