package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// DefaultPath is the file that is read when nothing names another.
const DefaultPath = "/etc/beamkeeper/beamkeeper.yaml"

// MaxFileBytes is the size above which Load and Parse refuse a file.
const MaxFileBytes = 1 << 20

const (
	maxProblems = 200     // more are not reported
	maxValues   = 200_000 // values read from one file, aliases expanded
)

// Load reads and parses the file at path.
//
// Errors: that of opening or reading (fs.ErrNotExist and the like), or an *Error with all problems.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(path, b)
}

// Parse reads a configuration. Name is the file's name for messages; relative paths in the configuration are relative
// to its folder. An empty file is a valid configuration with no applications.
//
// Errors: *Error with all problems.
func Parse(name string, b []byte) (*Config, error) {
	p := &parser{origin: make(map[string]position), left: maxValues, base: filepath.Dir(name)}
	if abs, err := filepath.Abs(name); err == nil {
		p.base = filepath.Dir(abs)
	}
	c := &Config{File: name, FromFile: true, origin: p.origin}
	if doc := p.document(b); doc != nil || len(p.problems) == 0 {
		setDefaults(table(), reflect.ValueOf(c).Elem())
		p.section(doc, "", table(), reflect.ValueOf(c).Elem())
		c.derive(p.base)
		p.check(c)
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, &Error{File: name, Problems: p.problems}
	}
	return c, nil
}

// parser collects what is in one file and what is wrong with it.
type parser struct {
	problems []Problem
	origin   map[string]position // of each key and entry that was set
	left     int                 // values that may still be read; negative once that was too many
	base     string              // folder that relative paths start from
}

// add notes a problem.
func (p *parser) add(q Problem) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, q)
	}
}

// spend takes n from the values that may still be read. It reports whether there were so many, and notes a problem the
// first time there were not.
func (p *parser) spend(n int, at *yaml.Node, path string) bool {
	if p.left < 0 {
		return false
	}
	if p.left -= n; p.left < 0 {
		p.problem(KindSyntax, at, path, "use fewer aliases", "the file is too large once its aliases are written out")
		return false
	}
	return true
}

// problem notes a problem at a node.
func (p *parser) problem(k Kind, n *yaml.Node, path, hint, format string, args ...any) {
	p.add(Problem{Kind: k, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// yamlError is how the library reports bad YAML.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s)(.*)$`)

// document reads the one document of a file; nil when there is none or it is bad.
func (p *parser) document(b []byte) *yaml.Node {
	if len(b) > MaxFileBytes {
		p.add(Problem{Kind: KindSyntax, Message: fmt.Sprintf("the file is larger than %s", Size(MaxFileBytes))})
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		p.syntax(b, err)
		return nil
	}
	if err := dec.Decode(&next); err == nil {
		p.problem(KindSyntax, &next, "", "remove the line ---", "a second document; the file must have only one")
		return nil
	} else if !errors.Is(err, io.EOF) {
		p.syntax(b, err)
		return nil
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		return doc.Content[0]
	}
	return &doc
}

// syntax turns the library's error into a problem with a line.
func (p *parser) syntax(b []byte, err error) {
	q := Problem{Kind: KindSyntax, Line: 1, Column: 1, Message: err.Error()}
	if m := yamlError.FindStringSubmatch(err.Error()); m != nil {
		q.Message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			q.Line = max(n, 1)
		}
	}
	// A tab in the indentation is the commonest mistake and has the least helpful message.
	for i, line := range strings.Split(string(b), "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && len(line) > len(indent) && i+1 >= q.Line-1 && i <= q.Line {
			q.Line, q.Column, q.Hint = i+1, tab+1, "indent with spaces, not with tabs"
			break
		}
	}
	p.add(q)
}

// derive fills in the defaults that depend on other settings. Base is the folder that relative paths start from.
func (c *Config) derive(base string) {
	switch {
	case c.ReleaseAdapter != ReleaseLocal:
	case c.ReleaseBucket == "":
		c.ReleaseBucket = filepath.Join(c.VarPath, "bucket")
	case !filepath.IsAbs(c.ReleaseBucket):
		c.ReleaseBucket = filepath.Join(base, c.ReleaseBucket)
	}
	for i := range c.Notifications {
		if n := &c.Notifications[i]; n.URL == "" && n.Adapter == "pagerduty" {
			n.URL = "https://events.pagerduty.com/v2/enqueue"
		}
	}
	for i := range c.Applications {
		a := &c.Applications[i]
		if a.Readiness.Application == "" {
			a.Readiness.Application = a.Name
		}
		if b := a.Readiness.Probe; b != nil {
			b.RPC = noArguments.ReplaceAllString(b.RPC, "()") // m:f/0
		}
		a.Logs.inherit(c.Logs, fmt.Sprintf("applications[%d].logs", i), c.origin)
	}
}

// noArguments is the end of m:f/0.
var noArguments = regexp.MustCompile(`\s*/\s*0\s*\.?\s*$`)

// pair is a key of a mapping with its value.
type pair struct {
	key, value *yaml.Node
	merged     bool // came by <<
}

// section reads the mapping n into the struct v, whose defaults are already set. A nil or null n sets nothing.
func (p *parser) section(n *yaml.Node, path string, fs []field, v reflect.Value) {
	pairs, at, ok := p.mapping(n, path)
	if !ok {
		return
	}
	for _, kv := range pairs {
		key := kv.key.Value
		if path == "" && strings.HasPrefix(key, "x-") {
			continue // a place for anchors
		}
		i := slices.IndexFunc(fs, func(f field) bool { return f.key == key })
		if i < 0 {
			p.problem(KindUnknown, kv.key, join(path, key), suggestKey(key, path, fs), "unknown key")
			continue
		}
		f := &fs[i]
		value := resolve(kv.value)
		if value == nil || isNull(value) {
			continue
		}
		p.origin[join(path, key)] = position{kv.key.Line, kv.key.Column}
		p.value(kv.value, join(path, key), f, f.value(v))
	}
	for i := range fs {
		f := &fs[i]
		if _, set := p.origin[join(path, f.key)]; f.required && !set {
			p.problem(KindMissing, at, join(path, f.key), "", "missing")
		}
	}
}

// mapping gives the pairs of a mapping, those merged in last, and the node to point at.
// It reports whether there is one; what is not a mapping, and keys given twice, become problems.
func (p *parser) mapping(n *yaml.Node, path string) ([]pair, *yaml.Node, bool) {
	at := n
	n = resolve(n)
	if n == nil || isNull(n) {
		if at == nil {
			at = &yaml.Node{Line: 1, Column: 1}
		}
		return nil, at, true
	}
	if n.Kind != yaml.MappingNode {
		hint := ""
		if path == "" {
			hint = "the file is a list of settings, each written KEY: VALUE"
		}
		p.problem(KindType, at, path, hint, "must be a section (KEY: VALUE lines), not %s", describe(n))
		return nil, at, false
	}
	var pairs []pair
	seen := make(map[string]*yaml.Node)
	p.pairs(n, path, false, 0, seen, &pairs)
	return pairs, at, true
}

// pairs appends the pairs of a mapping that are not there yet: its own, then what << brings.
func (p *parser) pairs(n *yaml.Node, path string, merged bool, depth int, seen map[string]*yaml.Node, out *[]pair) {
	if depth > 10 {
		return // a merge of itself
	}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		if key == nil || key.Kind != yaml.ScalarNode {
			p.problem(KindType, n.Content[i], path, "", "a key must be a word")
			continue
		}
		if key.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if first, ok := seen[key.Value]; ok {
			if !merged {
				p.problem(KindDuplicate, n.Content[i], join(path, key.Value), "remove one of the two", "already set in line %d", first.Line)
			}
			continue
		}
		if !p.spend(1, n.Content[i], path) {
			return
		}
		seen[key.Value] = key
		*out = append(*out, pair{n.Content[i], value, merged})
	}
	for _, m := range merges {
		from := resolve(m)
		list := []*yaml.Node{m}
		if from != nil && from.Kind == yaml.SequenceNode {
			list = from.Content
		}
		for _, item := range list {
			if r := resolve(item); r != nil && r.Kind == yaml.MappingNode {
				p.pairs(r, path, true, depth+1, seen, out)
			} else {
				p.problem(KindType, m, join(path, "<<"), "", "must be an alias of a section")
			}
		}
	}
}

// value reads the value n of a key into v.
func (p *parser) value(n *yaml.Node, path string, f *field, v reflect.Value) {
	if !p.spend(1, n, path) {
		return
	}
	switch f.kind {
	case kindSection:
		p.section(n, path, f.fields, v)
	case kindOptional:
		v.Set(reflect.New(f.typ))
		setDefaults(f.fields, v.Elem())
		p.section(n, path, f.fields, v.Elem())
	case kindSections:
		items, ok := p.list(n, path, "- KEY: VALUE")
		if !ok {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			at := fmt.Sprintf("%s[%d]", path, i)
			p.origin[at] = position{item.Line, item.Column}
			setDefaults(f.fields, v.Index(i))
			if r := resolve(item); f.typ == reflect.TypeFor[Hook]() && r != nil && r.Kind != yaml.MappingNode {
				p.origin[at+".run"] = p.origin[at]
				if cmd, ok := p.command(item, at); ok {
					v.Index(i).Field(0).Set(reflect.ValueOf(cmd))
				}
				continue
			}
			p.section(item, at, f.fields, v.Index(i))
			if p.left < 0 {
				return
			}
		}
	case kindStrings:
		if items, ok := p.strings(n, path, f); ok {
			v.Set(reflect.ValueOf(items))
		}
	case kindCommand:
		if cmd, ok := p.command(n, path); ok {
			v.Set(reflect.ValueOf(cmd))
		}
	case kindCommands:
		items, ok := p.list(n, path, "- [PROGRAM, ARGUMENT]")
		if !ok {
			return
		}
		cmds := make([]Command, 0, len(items))
		for i, item := range items {
			if cmd, ok := p.command(item, fmt.Sprintf("%s[%d]", path, i)); ok {
				cmds = append(cmds, cmd)
			}
		}
		v.Set(reflect.ValueOf(cmds))
	default:
		p.scalar(n, path, f, v)
	}
}

// list gives the entries of a list; what is not one becomes a problem.
func (p *parser) list(n *yaml.Node, path, form string) ([]*yaml.Node, bool) {
	r := resolve(n)
	if r == nil || r.Kind != yaml.SequenceNode {
		p.problem(KindType, n, path, "write each entry as a line "+form, "must be a list, not %s", describe(r))
		return nil, false
	}
	if !p.spend(len(r.Content), n, path) {
		return nil, false
	}
	return r.Content, true
}

// strings reads a list of strings, each checked as the field says.
func (p *parser) strings(n *yaml.Node, path string, f *field) ([]string, bool) {
	items, ok := []*yaml.Node{n}, true
	if r := resolve(n); !f.single || r == nil || r.Kind != yaml.ScalarNode {
		items, ok = p.list(n, path, "- TEXT")
	}
	if !ok {
		return nil, false
	}
	item := *f
	item.kind, item.required = kindString, true
	out := make([]string, len(items))
	for i := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		p.origin[at] = position{items[i].Line, items[i].Column}
		p.scalar(items[i], at, &item, reflect.ValueOf(&out[i]).Elem())
	}
	return out, true
}

// command reads a program with its arguments. Every scalar is taken as text.
func (p *parser) command(n *yaml.Node, path string) (Command, bool) {
	r := resolve(n)
	list := []*yaml.Node{n}
	if r != nil && r.Kind == yaml.SequenceNode {
		var ok bool
		if list, ok = p.list(n, path, ""); !ok {
			return nil, false
		}
	}
	var cmd Command
	for i, item := range list {
		s := resolve(item)
		if s == nil || s.Kind != yaml.ScalarNode || isNull(s) {
			p.problem(KindType, item, path, "", "must be a list [PROGRAM, ARGUMENT], not %s in it", describe(s))
			return nil, false
		}
		if strings.ContainsRune(s.Value, 0) {
			p.problem(KindValue, item, path, "", "must not contain a zero byte")
			return nil, false
		}
		if i == 0 && strings.ContainsAny(s.Value, " \t\n") && len(list) == 1 {
			p.problem(KindValue, item, path, "write a list: [PROGRAM, ARGUMENT]", "%q is not the name of a program; no shell takes it apart", s.Value)
			return nil, false
		}
		cmd = append(cmd, scalarText(s))
	}
	if len(cmd) == 0 || cmd[0] == "" {
		p.problem(KindMissing, n, path, "", "names no program")
		return nil, false
	}
	return cmd, true
}

// scalar reads one plain value.
func (p *parser) scalar(n *yaml.Node, path string, f *field, v reflect.Value) {
	r := resolve(n)
	if r == nil || r.Kind != yaml.ScalarNode {
		p.problem(KindType, n, path, "", "must be %s, not %s", f.typeName(), describe(r))
		return
	}
	tag := r.ShortTag()
	wrongType := func(hint string) {
		p.problem(KindType, n, path, hint, "must be %s, not %s", f.typeName(), describe(r))
	}
	setInt := func(i int64, scale int64) {
		if !f.within(i) {
			p.problem(KindValue, n, path, "", "%s must be %s", r.Value, f.bounds())
			return
		}
		v.SetInt(i * scale)
	}
	switch f.kind {
	case kindString:
		p.text(n, r, path, f, v)
	case kindBool:
		switch strings.ToLower(r.Value) {
		case "true", "false":
			if tag == "!!bool" {
				v.SetBool(strings.EqualFold(r.Value, "true"))
				return
			}
			wrongType("remove the quotes")
		default:
			wrongType("write true or false")
		}
	case kindInt, kindDuration:
		i, ok := integer(r)
		if !ok {
			wrongType(integerHint(r, f.kind))
			return
		}
		if f.kind == kindDuration {
			if most := int64(1<<63-1) / int64(time.Millisecond); i > most {
				p.problem(KindValue, n, path, "", "%s is too long", r.Value)
				return
			}
			setInt(i, int64(time.Millisecond))
			return
		}
		setInt(i, 1)
	case kindSize:
		s, err := ParseSize(r.Value)
		if err != nil {
			p.problem(KindType, n, path, "", "%v", err)
			return
		}
		setInt(int64(s), 1)
	case kindPercent:
		s, err := ParsePercent(r.Value)
		if err != nil {
			p.problem(KindType, n, path, "", "%v", err)
			return
		}
		setInt(int64(s), 1)
	}
}

// text reads a string.
func (p *parser) text(n, r *yaml.Node, path string, f *field, v reflect.Value) {
	s := r.Value
	switch tag := r.ShortTag(); {
	case tag == "!!str" || tag == "!!timestamp":
	case f.anyScalar && (tag == "!!int" || tag == "!!float" || tag == "!!bool" || tag == "!!null"):
		s = scalarText(r)
	default:
		hint := ""
		if tag == "!!int" || tag == "!!float" || tag == "!!bool" {
			hint = "put it in quotes: " + strconv.Quote(s)
		}
		p.problem(KindType, n, path, hint, "must be %s, not %s", f.typeName(), describe(r))
		return
	}
	switch {
	case strings.ContainsRune(s, 0):
		p.problem(KindValue, n, path, "", "must not contain a zero byte")
		return
	case s == "" && f.required:
		p.problem(KindMissing, n, path, "", "must not be empty")
		return
	case s != "" && f.enum != nil && !slices.Contains(f.enum, s):
		hint := ""
		if near := nearest(s, f.enum); near != "" {
			hint = "did you mean " + near + "?"
		}
		p.problem(KindValue, n, path, hint, "%q must be %s", s, oneOf(f.enum))
		return
	case s == "" && f.enum != nil:
		return // as if absent
	case s != "" && f.pattern != nil && !f.pattern.MatchString(s):
		p.problem(KindValue, n, path, "", "%q must be %s", s, f.form)
		return
	case s != "" && f.path:
		if strings.HasPrefix(s, "~") {
			p.problem(KindValue, n, path, "write the whole path", "%q: ~ is not replaced by a home folder", s)
			return
		}
		if !filepath.IsAbs(s) {
			s = filepath.Join(p.base, s)
		}
		s = filepath.Clean(s)
	}
	v.SetString(s)
}

// plainInteger is a decimal integer, perhaps with underscores as in YAML 1.1.
var plainInteger = regexp.MustCompile(`^[-+]?(0|[1-9][0-9_]*)$`)

func integer(r *yaml.Node) (int64, bool) {
	if r.ShortTag() != "!!int" || !plainInteger.MatchString(r.Value) {
		return 0, false
	}
	i, err := strconv.ParseInt(strings.ReplaceAll(r.Value, "_", ""), 10, 64)
	return i, err == nil
}

// unitOfTime finds durations as people write them elsewhere.
var unitOfTime = regexp.MustCompile(`^[0-9.]+ *(ms|s|m|h|d)$`)

func integerHint(r *yaml.Node, k fieldKind) string {
	switch {
	case r.ShortTag() == "!!str" && plainInteger.MatchString(r.Value):
		return "remove the quotes"
	case k == kindDuration && unitOfTime.MatchString(r.Value):
		if d, err := time.ParseDuration(strings.ReplaceAll(r.Value, " ", "")); err == nil {
			return fmt.Sprintf("the unit is in the key: write %d", d.Milliseconds())
		}
		return "the unit is in the key: write a number of milliseconds"
	case r.ShortTag() == "!!int":
		return "write it in decimal digits without leading zeros"
	}
	return ""
}

// scalarText gives a scalar as text: booleans in lower case, null as nothing, integers without their underscores, and
// all else as it is written, so that 1.10 and 0644 stay what they are.
func scalarText(r *yaml.Node) string {
	switch r.ShortTag() {
	case "!!bool":
		return strings.ToLower(r.Value)
	case "!!null":
		return ""
	case "!!int":
		if plainInteger.MatchString(r.Value) {
			return strings.ReplaceAll(r.Value, "_", "")
		}
	}
	return r.Value
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode; i++ {
		if i > 100 {
			return nil
		}
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a value is, for "must be a list, not …".
func describe(n *yaml.Node) string {
	if n == nil {
		return "nothing"
	}
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!str":
		if len(n.Value) > 60 {
			return fmt.Sprintf("the text %q…", n.Value[:60])
		}
		return fmt.Sprintf("the text %q", n.Value)
	case "!!int", "!!float", "!!bool":
		return n.Value
	}
	return "a value tagged " + n.ShortTag()
}

// typeName says what the field's values are.
func (f *field) typeName() string {
	switch f.kind {
	case kindBool:
		return "true or false"
	case kindInt:
		return "a whole number"
	case kindDuration:
		return "a whole number of milliseconds"
	case kindSize:
		return "a size such as 4GiB"
	case kindPercent:
		return "a percentage"
	}
	if f.enum != nil {
		return oneOf(f.enum)
	}
	return "text"
}

// oneOf gives "a", "a or b", "one of a, b, c".
func oneOf(words []string) string {
	if len(words) <= 2 {
		return strings.Join(words, " or ")
	}
	return "one of " + strings.Join(words, ", ")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
