package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse: no input makes Parse panic; what it accepts can be shown, and what is shown is accepted and shown alike.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"deployex.yaml", "full.yaml"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, tt := range refused {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse("/x/b.yaml", b)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		c.NotYet()
		c.ShowJSON()
		shown := c.Show()
		again, err := Parse("/x/b.yaml", shown)
		if err != nil {
			t.Fatalf("what is shown is refused: %v\n%s", err, shown)
		}
		if s := again.Show(); !bytes.Equal(s, shown) {
			t.Errorf("shown again:\n%s\nwant:\n%s", s, shown)
		}
	})
}
