package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitUnreachable = 5
	exitRefused     = 6
	exitTimeout     = 7
)

var exitOf = map[api.Code]int{
	api.CodeFailed:      exitFailed,
	api.CodeUsage:       exitUsage,
	api.CodeNotFound:    exitNotFound,
	api.CodeDenied:      exitDenied,
	api.CodeUnreachable: exitUnreachable,
	api.CodeRefused:     exitRefused,
	api.CodeTimeout:     exitTimeout,
}

// reported is an error about which everything was said already.
type reported struct{ code int }

func (r reported) Error() string { return fmt.Sprintf("exit code %d", r.code) }

// report tells people what went wrong and what to do, and returns the exit code.
func (c *cli) report(err error) int {
	var done reported
	if errors.As(err, &done) {
		return done.code
	}
	var bad *config.Error
	if errors.As(err, &bad) {
		fmt.Fprintf(c.err, "beamkeeper: the configuration has %s:\n%s\n", plural(len(bad.Problems), "problem"), bad)
		return exitFailed
	}
	var e *api.Error
	if !errors.As(err, &e) {
		e = &api.Error{Code: api.CodeFailed, Message: err.Error()}
		if errors.Is(err, context.Canceled) {
			e.Message = "interrupted"
		}
	}
	fmt.Fprintf(c.err, "beamkeeper: %s\n", indentRest(e.Message))
	if e.Hint != "" {
		fmt.Fprintf(c.err, "  → %s\n", indentRest(e.Hint))
	}
	if code, ok := exitOf[e.Code]; ok {
		return code
	}
	return exitFailed
}

func indentRest(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
