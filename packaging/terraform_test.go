package packaging

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

func terraformFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("terraform", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".tf") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("files: %v, %v", files, err)
	}
	return files
}

func TestTerraform_ParsesAndIsFormatted(t *testing.T) {
	t.Parallel()
	for _, path := range terraformFiles(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, diags := hclparse.NewParser().ParseHCL(b, path); diags.HasErrors() {
			t.Errorf("%s: %v", path, diags)
		}
		if got := hclwrite.Format(b); string(got) != string(b) {
			t.Errorf("%s is not formatted; it should be:\n%s", path, got)
		}
	}
}

// Every var.NAME and local.NAME of a module is declared in it, every variable of a module is used, and the examples give
// what has no default and nothing else.
func TestTerraform_VariablesFit(t *testing.T) {
	t.Parallel()
	for _, cloud := range []string{"aws", "gcp"} {
		m := loadModule(t, filepath.Join("terraform", cloud))
		for name := range m.used {
			if _, ok := m.variables[name]; !ok {
				t.Errorf("%s: var.%s is not declared", cloud, name)
			}
		}
		for name := range m.variables {
			if !m.used[name] {
				t.Errorf("%s: variable %q is not used", cloud, name)
			}
		}
		for _, language := range []string{"elixir", "erlang", "gleam"} {
			dir := filepath.Join("terraform", "examples", cloud+"-"+language)
			given := moduleArguments(t, filepath.Join(dir, "main.tf"))
			for name, optional := range m.variables {
				if !optional && !slices.Contains(given, name) {
					t.Errorf("%s gives no %s", dir, name)
				}
			}
			for _, name := range given {
				if _, ok := m.variables[name]; !ok && name != "source" {
					t.Errorf("%s gives %s, which the module does not know", dir, name)
				}
			}
		}
	}
}

type module struct {
	variables map[string]bool // whether each has a default
	used      map[string]bool
}

func body(t *testing.T, path string) *hclsyntax.Body {
	t.Helper()
	f, diags := hclparse.NewParser().ParseHCLFile(path)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return f.Body.(*hclsyntax.Body)
}

func loadModule(t *testing.T, dir string) module {
	t.Helper()
	m := module{variables: map[string]bool{}, used: map[string]bool{}}
	for _, name := range []string{"main.tf", "variables.tf"} {
		b := body(t, filepath.Join(dir, name))
		for _, block := range b.Blocks {
			if block.Type == "variable" {
				_, m.variables[block.Labels[0]] = block.Body.Attributes["default"]
				continue // a validation names its own variable
			}
			visit(block.Body, func(v hcl.Traversal) {
				if v.RootName() == "var" && len(v) > 1 {
					m.used[v[1].(hcl.TraverseAttr).Name] = true
				}
			})
		}
	}
	return m
}

func visit(b *hclsyntax.Body, f func(hcl.Traversal)) {
	for _, a := range b.Attributes {
		for _, v := range a.Expr.Variables() {
			f(v)
		}
	}
	for _, block := range b.Blocks {
		visit(block.Body, f)
	}
}

func moduleArguments(t *testing.T, path string) []string {
	t.Helper()
	var names []string
	for _, block := range body(t, path).Blocks {
		if block.Type == "module" {
			for name := range block.Body.Attributes {
				names = append(names, name)
			}
		}
	}
	return names
}
