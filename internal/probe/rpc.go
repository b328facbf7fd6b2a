package probe

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// RPC passes when a call on the instance's node gives true, ok or {ok,_}.
type RPC struct {
	Name    string                                             // shown: M:F/A
	Call    func(ctx context.Context) (text string, err error) // makes the call and gives its value as Erlang text
	Timeout time.Duration                                      // 0: DefaultTimeout
}

func (p RPC) String() string { return "rpc " + p.Name }

// Probe implements Probe.
func (p RPC) Probe(ctx context.Context) error {
	return limited(ctx, p.Timeout, func(ctx context.Context) error {
		text, err := p.Call(ctx)
		if err != nil {
			return err
		}
		if text == "true" || text == "ok" || isOkTuple(text) {
			return nil
		}
		return fmt.Errorf("gave %s, want true, ok or {ok,_}", excerpt(text, 200))
	})
}

// isOkTuple recognises {ok,_} as it is printed: with one comma at the level of the tuple.
func isOkTuple(text string) bool {
	rest, ok := strings.CutPrefix(text, "{ok,")
	return ok && strings.HasSuffix(rest, "}") && topLevelCommas(rest[:len(rest)-1]) == 0
}

// topLevelCommas counts the commas of a printed term that are inside no bracket, string or quoted atom.
func topLevelCommas(s string) int {
	depth, n := 0, 0
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '$' && i+1 < len(s): // a character, as in $,
			i++
		case strings.IndexByte("({[<", c) >= 0:
			depth++
		case c == '>' && i > 0 && s[i-1] == '=': // the arrow of a map
		case strings.IndexByte(")}]>", c) >= 0:
			depth--
		case c == ',' && depth == 0:
			n++
		}
	}
	return n
}
