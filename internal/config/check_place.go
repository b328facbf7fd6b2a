package config

import (
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/render"
)

// checkPlace looks at what surrounds an app's instances: templates, folders, files, sandbox.
func (p *parser) checkPlace(a *App, at string) {
	var ports, kinds []string
	for _, r := range a.ReplicaPorts {
		ports = append(ports, r.Key)
	}
	for i, d := range a.Dirs {
		for _, k := range kinds {
			if k == d.Kind {
				p.at(KindDuplicate, fmt.Sprintf("%s.dirs[%d].kind", at, i), "remove one of the two", "%q is there twice", k)
			}
		}
		kinds = append(kinds, d.Kind)
	}
	facts := render.Sample(a.Name, ports, kinds)
	try := func(where, name, text string) {
		if _, err := render.Text(name, text, facts); err != nil {
			p.at(KindValue, where, "see Templates in docs/apps.md", "%v", err)
		}
	}
	for i, e := range a.Env {
		try(fmt.Sprintf("%s.env[%d].value", at, i), "env "+e.Key, e.Value)
	}
	try(at+".vm_args", "vm_args", a.VMArgs)
	for i, f := range a.Files {
		where := fmt.Sprintf("%s.files[%d]", at, i)
		if f.Source != "" && f.Content != "" {
			p.at(KindClash, where+".content", "remove one of the two", "source and content are both there")
		}
		try(where+".path", "path", f.Path)
		if f.Source == "" {
			try(where+".content", "content", f.Content)
		}
	}
	for i, f := range a.EnvFiles {
		if path := strings.TrimPrefix(f, "-"); path != "" && !strings.HasPrefix(path, "/") {
			p.at(KindValue, fmt.Sprintf("%s.env_files[%d]", at, i), "", "%q is not absolute", f)
		}
	}
	for _, list := range []struct {
		key   string
		paths []string
	}{{"read_write_paths", a.Sandbox.ReadWrite}, {"read_only_paths", a.Sandbox.ReadOnly}, {"inaccessible_paths", a.Sandbox.Inaccessible}} {
		for i, path := range list.paths {
			if path != "" && !strings.HasPrefix(path, "/") {
				p.at(KindValue, fmt.Sprintf("%s.sandbox.%s[%d]", at, list.key, i), "", "%q is not absolute", path)
			}
		}
	}
}
