package node

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// docs/protocol.md names tests and recorded flows that exist, and lists every operation and flag that the code knows.
func TestProtocolDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := testNames(t)
	named := 0
	for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(string(text), -1) {
		switch name := m[1]; {
		case strings.HasPrefix(name, "Test") && name != "TestOTP_", strings.HasPrefix(name, "Fuzz"):
			if named++; !slices.Contains(known, name) {
				t.Errorf("there is no test %s", name)
			}
		case strings.HasPrefix(name, "otp"):
			files, err := filepath.Glob(filepath.Join("..", "testdata", "*", name+".flow"))
			if named++; err != nil || len(files) == 0 {
				t.Errorf("there is no recorded flow %s", name)
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d tests and flows are named: the document has another form", named)
	}

	var flags, operations []int
	for bit, name := range flagNames {
		if name != "" {
			flags = append(flags, bit)
		}
	}
	for op, arity := range arities {
		if arity > 0 {
			operations = append(operations, op)
		}
	}
	if got := numbers(t, string(text), "## Flags"); !slices.Equal(got, flags) {
		t.Errorf("flags listed %v, known %v", got, flags)
	}
	if got := numbers(t, string(text), "## Operations"); !slices.Equal(got, operations) {
		t.Errorf("operations listed %v, known %v", got, operations)
	}
}

// testNames gives the names of the tests and fuzz targets of this folder.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// numbers gives, in order, those of the first column of the table under a heading.
func numbers(t *testing.T, text, heading string) (list []int) {
	t.Helper()
	_, section, ok := strings.Cut(text, heading+"\n")
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for s := range strings.SplitSeq(cells[1], ",") {
			if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
				list = append(list, n)
			}
		}
	}
	slices.Sort(list)
	return list
}
