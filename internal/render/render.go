// Package render fills the templates of an app's configuration (env values, vm_args, files) with facts about the
// instance and its host.
//
// The templates are those of Go's text/template: {{ .CPUs }}, {{ index .Ports "PORT" }}, {{ div .Memory 2 | mib }}.
// Text without {{ is taken as it is.
package render

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
)

// Facts are what a template may name.
type Facts struct {
	App      string
	Instance string            // <app>-<6 of [0-9a-z]>
	Node     string            // <instance>@<host>
	Host     string            // host part of the node's name
	Version  string            // of the release
	Slot     int               // 0..replicas
	CPUs     int               // cores the instance may use
	Memory   int64             // bytes it may use
	Ports    map[string]int    // of replica_ports
	Dirs     map[string]string // of dirs, by kind
	RunDir   string            // the instance's private folder
	Root     string            // the unpacked release
}

// Sample is facts to try a template with before there is an instance.
func Sample(app string, ports, dirs []string) Facts {
	f := Facts{
		App: app, Instance: app + "-abc123", Node: app + "-abc123@host", Host: "host", Version: "1.2.3",
		CPUs: 4, Memory: 8 << 30, Ports: map[string]int{}, Dirs: map[string]string{}, RunDir: "/run", Root: "/release",
	}
	for i, p := range ports {
		f.Ports[p] = 4000 + i
	}
	for _, d := range dirs {
		f.Dirs[d] = "/" + d
	}
	return f
}

var functions = template.FuncMap{
	"add": func(a, b any) (int64, error) {
		return arithmetic(a, b, func(a, b int64) (int64, error) { return a + b, nil })
	},
	"sub": func(a, b any) (int64, error) {
		return arithmetic(a, b, func(a, b int64) (int64, error) { return a - b, nil })
	},
	"mul": func(a, b any) (int64, error) {
		return arithmetic(a, b, func(a, b int64) (int64, error) { return a * b, nil })
	},
	"div": func(a, b any) (int64, error) { return arithmetic(a, b, divide) },
	"min": func(a, b any) (int64, error) {
		return arithmetic(a, b, func(a, b int64) (int64, error) { return min(a, b), nil })
	},
	"max": func(a, b any) (int64, error) {
		return arithmetic(a, b, func(a, b int64) (int64, error) { return max(a, b), nil })
	},
	"mib": func(a any) (int64, error) { return arithmetic(a, 1<<20, divide) },
}

func divide(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}

func arithmetic(a, b any, f func(a, b int64) (int64, error)) (int64, error) {
	x, err := integer(a)
	if err != nil {
		return 0, err
	}
	y, err := integer(b)
	if err != nil {
		return 0, err
	}
	return f(x, y)
}

func integer(v any) (int64, error) {
	switch n := v.(type) {
	case int:
		return int64(n), nil
	case int64:
		return n, nil
	}
	return 0, fmt.Errorf("%v is no integer", v)
}

// Text fills text with the facts. The error names what was being filled, the line in it, and the name that is unknown.
func Text(name, text string, f Facts) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New(name).Option("missingkey=error").Funcs(functions).Parse(text)
	if err == nil {
		var b strings.Builder
		if err = t.Execute(&b, f); err == nil {
			return b.String(), nil
		}
	}
	return "", fmt.Errorf("%s: %s", name, explain(name, err))
}

// explain says "line 3: …" for what text/template says as "template: NAME:3:7: executing "NAME" at <.X>: …".
func explain(name string, err error) string {
	text := strings.TrimPrefix(err.Error(), "template: "+name+":")
	line, rest, ok := strings.Cut(text, ": ")
	if !ok || text == err.Error() {
		return err.Error()
	}
	line, _, _ = strings.Cut(line, ":")
	rest = strings.TrimPrefix(rest, fmt.Sprintf("executing %q at ", name))
	rest = strings.Replace(rest, "can't evaluate field ", "there is no ", 1)
	rest = strings.Replace(rest, " in type render.Facts", " (there are App, Instance, Node, Host, Version, Slot, CPUs, Memory, Ports, Dirs, RunDir, Root)", 1)
	return "line " + line + ": " + rest
}
