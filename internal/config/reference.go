package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference gives the tables of docs/configuration.md: every key with its type, default and meaning, in Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString("### Top level\n\n")
	referenceSection(&b, "", table())
	return []byte(b.String())
}

// referenceSection writes the table of a section, then those of the sections in it.
func referenceSection(b *strings.Builder, path string, fs []field) {
	b.WriteString("| key | type | default | a change | meaning |\n|---|---|---|---|---|\n")
	for i := range fs {
		f := &fs[i]
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.key, f.referenceType(), f.referenceDefault(), referenceClass(path, f), f.referenceDoc(cell))
	}
	for i := range fs {
		f := &fs[i]
		if f.fields == nil || f.typ == reflect.TypeFor[Hook]() && f.key != "before_deploy" {
			continue // one table says it for all hooks
		}
		sub := join(path, f.key)
		if f.kind == kindSections {
			sub += "[]"
		}
		fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n", sub, f.referenceDoc(func(s string) string { return s }))
		referenceSection(b, sub, f.fields)
	}
}

// classWords say when a changed setting counts.
var classWords = map[Class]string{
	ClassImmediate: "at once", ClassNextStart: "next start", ClassRollingRestart: "rolling restart", ClassDaemonRestart: "daemon restart",
}

// referenceClass says when a change of the key counts; empty for sections whose keys say it themselves.
func referenceClass(path string, f *field) string {
	var inherited Class
	for p := strings.TrimSuffix(path, "[]"); p != "" && inherited == ""; p = strings.TrimSuffix(p[:max(strings.LastIndexByte(p, '.'), 0)], "[]") {
		inherited = classes[p]
	}
	c, _ := classOf(join(path, f.key), f, inherited)
	return classWords[c]
}

// cell makes text fit for a table.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(s) }

// referenceDoc is the meaning; escape is applied to the words.
func (f *field) referenceDoc(escape func(string) string) string {
	d := escape(f.doc)
	if len(f.enum) > 4 {
		d += " One of `" + strings.Join(f.enum, "`, `") + "`."
	}
	if note := f.note(); note != "" {
		d += " *Accepted without effect: " + escape(note) + ".*"
	}
	return d
}

func (f *field) referenceType() string {
	switch f.kind {
	case kindSection, kindOptional:
		return "section"
	case kindSections:
		return "list of sections"
	case kindStrings:
		if f.single {
			return "text, or list of text"
		}
		return "list of text"
	case kindCommand:
		return "command"
	case kindCommands:
		return "list of commands"
	case kindBool:
		return "`true`, `false`"
	case kindInt:
		return cell(strings.TrimSpace("integer " + f.bounds()))
	case kindDuration:
		return "milliseconds"
	case kindSize:
		return "size"
	case kindPercent:
		return "percentage"
	}
	switch {
	case len(f.enum) > 0 && len(f.enum) <= 4:
		return "`" + strings.Join(f.enum, "`, `") + "`"
	case f.enum != nil:
		return "word"
	case f.path:
		return "path"
	case f.anyScalar:
		return "any scalar"
	}
	return "text"
}

func (f *field) referenceDefault() string {
	switch {
	case f.required:
		return "**required**"
	case f.def != "":
		return "`" + f.def + "`"
	case f.computed != "":
		return cell(f.computed)
	}
	return ""
}
