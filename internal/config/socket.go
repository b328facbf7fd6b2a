package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
)

// socketLine is control.socket in a file that is no YAML.
var socketLine = regexp.MustCompile(`(?m)^(?:control:[ \t]*\{[^}\n]*?|[ \t]+)socket:[ \t]*["']?([^"'\s,}#]+)`)

// ControlSocket gives control.socket of the file at path, even of one that is broken elsewhere: whoever wants to ask the
// daemon how it is must be able to, above all then.
//
// Errors: that of opening or reading.
func ControlSocket(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	p := &parser{origin: make(map[string]position), left: maxValues, base: filepath.Dir(abs)}
	var c Config
	setDefaults(table(), reflect.ValueOf(&c).Elem())
	if doc := p.document(b); doc != nil {
		p.section(doc, "", table(), reflect.ValueOf(&c).Elem())
		return c.Control.Socket, nil
	}
	if m := socketLine.FindSubmatch(b); m != nil {
		c.Control.Socket = string(m[1])
		if !filepath.IsAbs(c.Control.Socket) {
			c.Control.Socket = filepath.Join(p.base, c.Control.Socket)
		}
	}
	return c.Control.Socket, nil
}
