package config

import (
	"fmt"
	"strings"
)

// Kind says what sort of problem it is.
type Kind string

// The kinds of problems.
const (
	KindSyntax    Kind = "syntax"      // not YAML
	KindUnknown   Kind = "unknown_key" // no such key
	KindDuplicate Kind = "duplicate"   // a key, name or variable given twice
	KindType      Kind = "type"        // a list where a number belongs
	KindValue     Kind = "value"       // the right type, a wrong value
	KindMissing   Kind = "missing"     // a required key is absent or empty
	KindClash     Kind = "clash"       // two settings contradict each other
	KindNotYet    Kind = "not_yet"     // right, but this version cannot do it and must not ignore it
)

// Problem is one thing wrong with a file.
type Problem struct {
	Kind    Kind   `json:"kind"`
	Line    int    `json:"line"`   // from 1; 0 when the problem has no place
	Column  int    `json:"column"` // from 1
	Path    string `json:"path"`   // such as applications[0].replica_ports[1].base
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do about it
}

// String gives line:column: path: message; hint.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Error is everything wrong with a file, in the order of its lines.
type Error struct {
	File     string
	Problems []Problem
}

// Error gives one line for each problem: file:line:column: path: message; hint.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		sep := ":"
		if p.Line == 0 {
			sep = ": "
		}
		lines[i] = e.File + sep + p.String()
	}
	return strings.Join(lines, "\n")
}

// Notice is a setting that is accepted but has no effect in this version.
type Notice struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Message string `json:"message"`
}

// String gives line:column: path: message.
func (n Notice) String() string {
	return Problem{Line: n.Line, Column: n.Column, Path: n.Path, Message: n.Message}.String()
}

// position is a place in the file, from 1.
type position struct{ line, column int }
