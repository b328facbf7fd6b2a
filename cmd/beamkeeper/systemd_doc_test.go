package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/systemd"
)

// The IDs in docs/systemd.md are those in the journal, and are there for every type of event.
func TestSystemdDoc_MessageIDs(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `([0-9a-f]{32})` \\|$").FindAllStringSubmatch(string(b), -1) {
		documented[m[1]] = m[2]
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/api/api.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	missing := false
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Event") || len(v.Values) != 1 {
			return true
		}
		event, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		id := systemd.MessageID(event)
		rows.WriteString("| `" + event + "` | `" + id + "` |\n")
		missing = missing || documented[event] != id
		delete(documented, event)
		return true
	})
	if rows.Len() == 0 || missing || len(documented) > 0 {
		t.Errorf("the table in docs/systemd.md should be\n%s", rows.String())
	}
}
