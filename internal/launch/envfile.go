package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// envFileBytes is more than any environment can hold.
const envFileBytes = 4 << 20

// readEnvFiles reads the files in order. One whose name begins with - may be missing.
func readEnvFiles(paths []string) ([]Var, error) {
	var all []Var
	for _, p := range paths {
		path, optional := strings.CutPrefix(p, "-")
		vars, err := readEnvFile(path)
		if optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("%w: make it, or write -%s in env_files if it may be missing", err, path)
			}
			return nil, fmt.Errorf("env file: %w", err)
		}
		all = append(all, vars...)
	}
	return all, nil
}

func readEnvFile(path string) ([]Var, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, envFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > envFileBytes {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, envFileBytes)
	}
	vars, err := ParseEnvFile(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return vars, nil
}

// ParseEnvFile reads KEY=value lines as systemd reads an EnvironmentFile (systemd.exec(5)), and takes "export KEY=value"
// too: empty lines and those that begin with # or ; are left out; a value may be quoted, over several lines too; outside
// of single quotes a backslash takes the next character as it is, and one at the end of a line joins the next. $ is no
// variable.
//
// The error names the line and shows no value.
func ParseEnvFile(text string) ([]Var, error) {
	var vars []Var
	s := envScanner{rest: strings.ReplaceAll(text, "\r\n", "\n"), line: 1}
	for s.skipBlank() {
		line := s.line
		key := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(s.until('=')), "export "))
		if s.rest == "" || s.rest[0] != '=' {
			return nil, fmt.Errorf("line %d: no = in it: write KEY=value", line)
		}
		if !isEnvName(key) {
			return nil, fmt.Errorf("line %d: %q is no name of a variable: letters, digits and _, not beginning with a digit", line, key)
		}
		s.next()
		value, err := s.value()
		if err != nil {
			return nil, fmt.Errorf("line %d: the value of %s %w", line, key, err)
		}
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("line %d: the value of %s holds a zero byte", line, key)
		}
		vars = append(vars, Var{Key: key, Value: value})
	}
	return vars, nil
}

func isEnvName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

type envScanner struct {
	rest string
	line int
}

func (s *envScanner) next() byte {
	c := s.rest[0]
	s.rest = s.rest[1:]
	if c == '\n' {
		s.line++
	}
	return c
}

// skipBlank goes to the next line with something in it.
func (s *envScanner) skipBlank() bool {
	for s.rest != "" {
		switch s.rest[0] {
		case ' ', '\t', '\n':
			s.next()
		case '#', ';':
			s.until('\n')
		default:
			return true
		}
	}
	return false
}

// until returns what stands before c on this line.
func (s *envScanner) until(c byte) string {
	i := strings.IndexAny(s.rest, string(c)+"\n")
	if i < 0 {
		i = len(s.rest)
	}
	head := s.rest[:i]
	s.rest = s.rest[i:]
	return head
}

func (s *envScanner) value() (string, error) {
	var b strings.Builder
	keep := 0 // what trailing blanks are not cut from
	for s.rest != "" && (s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.next()
	}
	for s.rest != "" && s.rest[0] != '\n' {
		switch c := s.next(); c {
		case '\'', '"':
			if err := s.quoted(c, &b); err != nil {
				return "", err
			}
			keep = b.Len()
		case '\\':
			if s.rest == "" {
				break
			}
			if c := s.next(); c != '\n' {
				b.WriteByte(c)
			}
			keep = b.Len()
		default:
			b.WriteByte(c)
			if c != ' ' && c != '\t' {
				keep = b.Len()
			}
		}
	}
	return b.String()[:keep], nil
}

func (s *envScanner) quoted(quote byte, b *strings.Builder) error {
	for s.rest != "" {
		c := s.next()
		switch {
		case c == quote:
			return nil
		case c == '\\' && quote == '"' && s.rest != "":
			n := s.next()
			if n == '\n' {
				continue
			}
			if !strings.ContainsRune("\"\\$`", rune(n)) {
				b.WriteByte('\\')
			}
			b.WriteByte(n)
		default:
			b.WriteByte(c)
		}
	}
	return fmt.Errorf("has an opening %c and no closing one", quote)
}
