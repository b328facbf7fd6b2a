package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
)

// NotYet lists the settings of the file that this version accepts but does not act upon, in the order of their lines.
// A setting that the file leaves out, or switches off, is not listed.
func (c *Config) NotYet() []Notice {
	var list []Notice
	c.notices(table(), reflect.ValueOf(c).Elem(), "", &list)
	slices.SortStableFunc(list, func(a, b Notice) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return list
}

func (c *Config) notices(fs []field, v reflect.Value, path string, list *[]Notice) {
	for i := range fs {
		f := &fs[i]
		at, fv := join(path, f.key), f.value(v)
		pos, set := c.origin[at]
		if !set {
			continue
		}
		note := f.note()
		switch {
		case note != "" && !switchedOff(fv):
			*list = append(*list, Notice{Line: pos.line, Column: pos.column, Path: at, Message: "accepted without effect: " + note})
		case note != "":
		case f.kind == kindSection:
			c.notices(f.fields, fv, at, list)
		case f.kind == kindOptional:
			c.notices(f.fields, fv.Elem(), at, list)
		case f.kind == kindSections:
			for j := range fv.Len() {
				c.notices(f.fields, fv.Index(j), fmt.Sprintf("%s[%d]", at, j), list)
			}
		}
	}
}

// switchedOff reports whether a setting asks for nothing.
func switchedOff(v reflect.Value) bool {
	switch x := v.Interface().(type) {
	case Fleet:
		return len(x.ETCDEndpoints) == 0
	case string:
		return x == "" || x == "none"
	}
	if v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

// CookiePath gives the file of the generated cookie, <var_path>/cookie.
func (c *Config) CookiePath() string { return filepath.Join(c.VarPath, "cookie") }

// EPMDAddress gives the address of the port mapper: the epmd setting, else 127.0.0.1 and the port in ERL_EPMD_PORT,
// else 127.0.0.1:4369. Getenv is os.Getenv.
func (n Node) EPMDAddress(getenv func(string) string) string {
	if n.EPMD != "" {
		return n.EPMD
	}
	if port := getenv("ERL_EPMD_PORT"); port != "" {
		return "127.0.0.1:" + port
	}
	return "127.0.0.1:4369"
}

// Slots gives the number of port slots: replicas + 1.
func (a App) Slots() int { return a.Replicas + 1 }

// Ports gives the ports of a slot by variable.
func (a App) Ports(slot int) map[string]int {
	ports := make(map[string]int, len(a.ReplicaPorts))
	for _, p := range a.ReplicaPorts {
		ports[p.Key] = p.Base + slot
	}
	return ports
}
