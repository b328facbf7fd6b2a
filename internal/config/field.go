package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fieldKind is how the value of a key is written and kept.
type fieldKind int

const (
	kindString   fieldKind = iota // string and its named types
	kindBool                      // bool
	kindInt                       // int
	kindDuration                  // time.Duration, an integer of milliseconds in YAML
	kindSize                      // Size
	kindPercent                   // Percent
	kindStrings                   // []string
	kindCommand                   // Command
	kindCommands                  // []Command
	kindSection                   // struct
	kindOptional                  // *struct, nil when the key is absent
	kindSections                  // []struct
)

// field is one key of a section, as its Go struct declares it.
type field struct {
	key      string
	index    int // in the struct
	kind     fieldKind
	typ      reflect.Type // of the section, for the last three kinds
	fields   []field      // of the section, likewise
	def      string       // default, written as in YAML; empty: the zero value
	computed string
	enum     []string
	min, max *int64
	pattern  *regexp.Regexp
	form     string // pattern in words
	path     bool
	secret   string
	later    string
	doc      string

	required, anyScalar, installer bool

	single bool // of a list: one entry may be written without it
}

// table is the fields of Config. It is the one description of the file.
var table = sync.OnceValue(func() []field { return fieldsOf(reflect.TypeFor[Config]()) })

// fieldsOf reads the tags of a struct. A tag that makes no sense is a mistake of ours and panics.
func fieldsOf(t reflect.Type) []field {
	var fs []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key, ok := sf.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		f := field{
			key:       key,
			index:     i,
			def:       sf.Tag.Get("default"),
			computed:  sf.Tag.Get("computed"),
			form:      sf.Tag.Get("form"),
			path:      sf.Tag.Get("path") != "",
			secret:    sf.Tag.Get("secret"),
			later:     sf.Tag.Get("later"),
			doc:       sf.Tag.Get("doc"),
			required:  sf.Tag.Get("required") == "true",
			anyScalar: sf.Tag.Get("scalar") == "any",
			installer: sf.Tag.Get("installer") == "true",
			single:    sf.Tag.Get("scalar") == "single",
			min:       bound(sf, "min"),
			max:       bound(sf, "max"),
		}
		if s := sf.Tag.Get("enum"); s != "" {
			f.enum = strings.Split(s, "|")
		}
		if s := sf.Tag.Get("pattern"); s != "" {
			f.pattern = regexp.MustCompile(s)
		}
		f.kind, f.typ = kindOf(sf.Type)
		if f.typ != nil {
			f.fields = fieldsOf(f.typ)
		}
		fs = append(fs, f)
	}
	return fs
}

func bound(sf reflect.StructField, tag string) *int64 {
	s := sf.Tag.Get(tag)
	if s == "" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("config: tag %s of %s: %v", tag, sf.Name, err))
	}
	return &n
}

func kindOf(t reflect.Type) (fieldKind, reflect.Type) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return kindDuration, nil
	case reflect.TypeFor[Size]():
		return kindSize, nil
	case reflect.TypeFor[Percent]():
		return kindPercent, nil
	case reflect.TypeFor[Command]():
		return kindCommand, nil
	case reflect.TypeFor[[]Command]():
		return kindCommands, nil
	case reflect.TypeFor[[]string]():
		return kindStrings, nil
	}
	switch t.Kind() {
	case reflect.String:
		return kindString, nil
	case reflect.Bool:
		return kindBool, nil
	case reflect.Int:
		return kindInt, nil
	case reflect.Struct:
		return kindSection, t
	case reflect.Pointer:
		return kindOptional, t.Elem()
	case reflect.Slice:
		return kindSections, t.Elem()
	}
	panic(fmt.Sprintf("config: no key can have the Go type %s", t))
}

// value gives the field's place in the struct v.
func (f *field) value(v reflect.Value) reflect.Value { return v.Field(f.index) }

// setDefaults writes the default of every field into the struct v, into those of its sections too.
func setDefaults(fs []field, v reflect.Value) {
	for i := range fs {
		f := &fs[i]
		fv := f.value(v)
		if f.kind == kindSection {
			setDefaults(f.fields, fv)
			continue
		}
		if f.def == "" {
			continue
		}
		switch f.kind {
		case kindString:
			fv.SetString(f.def)
		case kindBool:
			fv.SetBool(f.def == "true")
		case kindInt:
			fv.SetInt(mustInt(f.def))
		case kindDuration:
			fv.SetInt(mustInt(f.def) * int64(time.Millisecond))
		case kindSize:
			n, err := ParseSize(f.def)
			if err != nil {
				panic("config: default of " + f.key + ": " + err.Error())
			}
			fv.SetInt(int64(n))
		case kindPercent:
			fv.SetInt(mustInt(f.def))
		case kindStrings:
			fv.Set(reflect.ValueOf(defaultStrings(f.def)))
		default:
			panic("config: " + f.key + " cannot have a default")
		}
	}
}

// defaultStrings reads the flow list [a, b].
func defaultStrings(def string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(def, "["), "]"), ", ")
}

func mustInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("config: default: " + err.Error())
	}
	return n
}

// within reports whether n keeps to the field's bounds.
func (f *field) within(n int64) bool {
	return (f.min == nil || n >= *f.min) && (f.max == nil || n <= *f.max)
}

// bounds gives the bounds in words: "from 1 to 65535", in the field's own notation.
func (f *field) bounds() string {
	text := func(n int64) string {
		if f.kind == kindSize {
			return Size(n).String()
		}
		return strconv.FormatInt(n, 10)
	}
	switch {
	case f.min != nil && f.max != nil:
		return "from " + text(*f.min) + " to " + text(*f.max)
	case f.min != nil:
		return "at least " + text(*f.min)
	case f.max != nil:
		return "at most " + text(*f.max)
	}
	return ""
}

// note says why the setting has no effect; empty when it has one.
func (f *field) note() string {
	if f.later == "" && f.installer {
		return "only DeployEx's installer used it"
	}
	return f.later
}
