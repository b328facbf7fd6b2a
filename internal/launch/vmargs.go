package launch

import (
	"fmt"
	"slices"
	"strings"
)

// reservedFlags are the instance's identity, which its daemon gives.
var reservedFlags = []string{"-name", "-sname", "-setcookie", "-proto_dist", "-ssl_dist_optfile", "-args_file", "-noinput", "-detached"}

// CheckVMArgs says whether text, flags of erl as in a vm.args file, names only what the configuration may set.
func CheckVMArgs(text string) error {
	for i, line := range strings.Split(text, "\n") {
		for _, word := range strings.Fields(uncomment(line)) {
			if slices.Contains(reservedFlags, word) {
				return fmt.Errorf("line %d: %s is set by beamkeeper: take it out", i+1, word)
			}
		}
	}
	return nil
}

// uncomment cuts the comment of a line off; # in quotes is none.
func uncomment(line string) string {
	quote := rune(0)
	for i, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
		case r == '"' || r == '\'':
			quote = r
		case r == '#':
			return line[:i]
		}
	}
	return line
}

// vmArgs hands flags over as ERL_ZFLAGS, which erl puts behind those of the release's own vm.args (erl(1)), so that
// they win.
func (e environment) vmArgs(text string) error {
	if err := CheckVMArgs(text); err != nil {
		return fmt.Errorf("vm_args: %w", err)
	}
	words := strings.Fields(e["ERL_ZFLAGS"])
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(uncomment(line)); line != "" {
			words = append(words, line)
		}
	}
	if len(words) > 0 {
		e.set("ERL_ZFLAGS", strings.Join(words, " "))
	}
	return nil
}
