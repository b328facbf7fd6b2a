package config

import (
	"encoding/json"
	"reflect"
)

// SchemaID is the identifier of the JSON Schema.
const SchemaID = "https://beamkeeper.github.io/schema/beamkeeper.json"

// Schema gives the JSON Schema (2020-12) of the file, for editors and checks elsewhere. What it refuses, Parse refuses
// too; Parse knows rules between settings besides.
func Schema() []byte {
	s := schemaSection(table(), reflect.TypeFor[Config]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = SchemaID
	s["title"] = "Configuration of Beamkeeper"
	s["patternProperties"] = map[string]any{"^x-": map[string]any{"description": "Ignored: a place for anchors (&NAME)."}}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: schema: " + err.Error())
	}
	return append(b, '\n')
}

func schemaSection(fs []field, t reflect.Type) map[string]any {
	properties := make(map[string]any, len(fs))
	var required []string
	for i := range fs {
		f := &fs[i]
		properties[f.key] = schemaField(f)
		if f.required {
			required = append(required, f.key)
		}
	}
	s := map[string]any{"type": types(required == nil, "object"), "properties": properties, "additionalProperties": false}
	if required != nil {
		s["required"] = required
	}
	if t == reflect.TypeFor[Probe]() {
		s["type"] = "object"
		s["oneOf"] = []any{needs("http"), needs("tcp"), needs("rpc"), needs("exec"), map[string]any{
			"required": []string{"api"}, "properties": map[string]any{"api": map[string]any{"const": true}},
		}}
	}
	return s
}

func needs(key string) map[string]any { return map[string]any{"required": []string{key}} }

// types gives a JSON type, or that and null: a key without a value stands for its default.
func types(null bool, names ...string) any {
	if null {
		names = append(names, "null")
	}
	if len(names) == 1 {
		return names[0]
	}
	return names
}

func schemaField(f *field) map[string]any {
	null := !f.required
	var s map[string]any
	switch f.kind {
	case kindSection, kindOptional:
		s = schemaSection(f.fields, f.typ)
		if f.kind == kindOptional {
			s["type"] = types(true, "object")
			if of, ok := s["oneOf"]; ok {
				delete(s, "oneOf")
				s["if"] = map[string]any{"type": "object"}
				s["then"] = map[string]any{"oneOf": of}
			}
		}
	case kindSections:
		item := schemaSection(f.fields, f.typ)
		if f.typ == reflect.TypeFor[Hook]() {
			item["type"] = "object"
			item["oneOf"] = []any{needs("run"), needs("rpc")}
			item = map[string]any{"anyOf": []any{schemaCommand(false), item}}
		}
		s = map[string]any{"type": types(null, "array"), "items": item}
	case kindStrings:
		item := *f
		item.kind, item.required, item.def, item.doc, item.computed = kindString, true, "", "", ""
		s = map[string]any{"type": types(null, "array"), "items": schemaField(&item)}
		if f.single {
			s["type"] = types(null, "array", "string")
		}
	case kindCommand:
		s = schemaCommand(null)
	case kindCommands:
		s = map[string]any{"type": types(null, "array"), "items": schemaCommand(false)}
	case kindString:
		s = schemaText(f, null)
	case kindBool:
		s = map[string]any{"type": types(null, "boolean")}
	case kindInt, kindDuration:
		s = map[string]any{"type": types(null, "integer")}
		setBounds(s, f)
	case kindSize:
		s = map[string]any{"type": types(null, "integer", "string"), "pattern": `^ *[0-9][0-9_]*(\.[0-9]+)? *([KMGT]i?B?|kB|B)? *$`}
		setBounds(s, f)
	case kindPercent:
		s = map[string]any{"type": types(null, "integer", "string"), "pattern": `^ *[0-9]+ *%? *$`}
		setBounds(s, f)
	}
	if f.doc != "" {
		s["description"] = f.description()
	}
	if f.installer {
		s["deprecated"] = true
	}
	if d := f.jsonDefault(); d != nil {
		s["default"] = d
	}
	return s
}

func schemaText(f *field, null bool) map[string]any {
	s := map[string]any{"type": types(null, "string")}
	if f.anyScalar {
		s["type"] = types(null, "string", "number", "boolean")
	}
	if f.enum != nil {
		words := make([]any, 0, len(f.enum)+2)
		for _, w := range f.enum {
			words = append(words, w)
		}
		if null {
			words = append(words, "", nil)
		}
		s["enum"] = words
		delete(s, "type")
	}
	if f.pattern != nil {
		s["pattern"] = f.pattern.String()
		if null {
			s["pattern"] = "^$|" + f.pattern.String()
		}
	}
	if f.required && f.enum == nil {
		s["minLength"] = 1
	}
	return s
}

func schemaCommand(null bool) map[string]any {
	word := map[string]any{"type": []string{"string", "number", "boolean"}}
	return map[string]any{"type": types(null, "array", "string"), "items": word, "minItems": 1, "minLength": 1}
}

func setBounds(s map[string]any, f *field) {
	if f.min != nil {
		s["minimum"] = *f.min
	}
	if f.max != nil {
		s["maximum"] = *f.max
	}
}

// description is the field's meaning with what a reader of the schema should know besides.
func (f *field) description() string {
	d := f.doc
	if f.computed != "" {
		d += " Default: " + f.computed + "."
	}
	if note := f.note(); note != "" {
		d += " Accepted without effect: " + note + "."
	}
	return d
}

// jsonDefault gives the default as a JSON value, nil for none.
func (f *field) jsonDefault() any {
	switch {
	case f.def == "":
		return nil
	case f.kind == kindStrings:
		return defaultStrings(f.def)
	case f.kind == kindBool:
		return f.def == "true"
	case f.kind == kindInt || f.kind == kindDuration || f.kind == kindPercent:
		return mustInt(f.def)
	}
	return f.def
}
