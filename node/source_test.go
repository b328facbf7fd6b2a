package node_test

import (
	"path/filepath"
	"testing"
)

// sourceFile gives the absolute path of a file of the project.
func sourceFile(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
