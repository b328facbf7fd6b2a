package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func compiledSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate checks YAML as an editor would.
func validate(t testing.TB, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if v == nil {
		v = map[string]any{}
	}
	return s.Validate(v)
}

func TestSchema_AcceptsWhatParseAccepts(t *testing.T) {
	t.Parallel()
	s := compiledSchema(t)
	example, err := Example(ExampleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{
		"example":  example,
		"empty":    nil,
		"nulls":    []byte("node:\nport:\napplications:\nrelease: {verify: , keep_releases: ~}\n"),
		"null too": []byte("applications: [{name: a, language: , replicas: , readiness: {probe: }, hooks: }]"),
		"defaults": mustParse(t, "").Show(),
	}
	for _, name := range []string{"deployex.yaml", "full.yaml"} {
		if texts[name], err = os.ReadFile(filepath.Join("testdata", name)); err != nil {
			t.Fatal(err)
		}
		c := parseFile(t, name)
		texts[name+" shown"], texts[name+" as JSON"] = c.Show(), c.ShowJSON()
	}
	for name, text := range texts {
		if _, err := Parse("b.yaml", text); err != nil {
			t.Errorf("%s: Parse: %v", name, err)
		}
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchema_RefusesBrokenFiles(t *testing.T) {
	t.Parallel()
	s := compiledSchema(t)
	n := 0
	for _, tt := range refused {
		if tt.kind == KindSyntax || tt.kind == KindDuplicate && tt.path == "port" || tt.path == "node.<<" || tt.text2 == "a key must be a word" {
			continue // no YAML, or none that unmarshals
		}
		err := validate(t, s, []byte(tt.text))
		var invalid *jsonschema.ValidationError
		if err != nil && !errors.As(err, &invalid) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if (err != nil) != tt.schema {
			t.Errorf("%s: refused by the schema: %t, want %t (%v)", tt.name, err != nil, tt.schema, err)
		}
		if err != nil {
			n++
		}
	}
	if n < 30 {
		t.Errorf("the schema refuses %d files, want 30 at least", n)
	}
}

func TestSchema_NamesEveryKey(t *testing.T) {
	t.Parallel()
	var keys func(fs []field, doc any)
	keys = func(fs []field, doc any) {
		props, ok := doc.(map[string]any)["properties"].(map[string]any)
		if !ok || len(props) != len(fs) {
			t.Errorf("%d properties, want %d", len(props), len(fs))
			return
		}
		for i := range fs {
			p, ok := props[fs[i].key].(map[string]any)
			if !ok || p["description"] == "" {
				t.Errorf("%s: not in the schema, or not described", fs[i].key)
				continue
			}
			if fs[i].fields == nil {
				continue
			}
			if fs[i].typ == reflect.TypeFor[Hook]() { // or a command
				keys(fs[i].fields, p["items"].(map[string]any)["anyOf"].([]any)[1])
			} else if fs[i].kind == kindSections {
				keys(fs[i].fields, p["items"])
			} else {
				keys(fs[i].fields, p)
			}
		}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	keys(table(), doc)
}
