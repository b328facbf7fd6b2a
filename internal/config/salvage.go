package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
)

// Paths is what has to be known of a file that is broken.
type Paths struct {
	Socket  string // control.socket
	VarPath string // var_path
}

// The settings of Paths in a file that is no YAML.
var (
	socketLine  = regexp.MustCompile(`(?m)^(?:control:[ \t]*\{[^}\n]*?|[ \t]+)socket:[ \t]*["']?([^"'\s,}#]+)`)
	varPathLine = regexp.MustCompile(`(?m)^var_path:[ \t]*["']?([^"'\s#]+)`)
)

// Salvage gives the paths of the file at path, even of one that is broken elsewhere: whoever wants to ask the daemon how it
// is must be able to, above all then.
//
// Errors: that of opening or reading.
func Salvage(path string) (Paths, error) {
	f, err := os.Open(path)
	if err != nil {
		return Paths{}, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return Paths{}, fmt.Errorf("config: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Paths{}, err
	}
	p := &parser{origin: make(map[string]position), left: maxValues, base: filepath.Dir(abs)}
	var c Config
	setDefaults(table(), reflect.ValueOf(&c).Elem())
	if doc := p.document(b); doc != nil {
		p.section(doc, "", table(), reflect.ValueOf(&c).Elem())
		return Paths{Socket: c.Control.Socket, VarPath: c.VarPath}, nil
	}
	find := func(line *regexp.Regexp, or string) string {
		m := line.FindSubmatch(b)
		switch {
		case m == nil:
			return or
		case filepath.IsAbs(string(m[1])):
			return string(m[1])
		}
		return filepath.Join(p.base, string(m[1]))
	}
	return Paths{Socket: find(socketLine, c.Control.Socket), VarPath: find(varPathLine, c.VarPath)}, nil
}
