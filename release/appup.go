package release

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Appup says how an application is upgraded and downgraded (appup(4)).
type Appup struct {
	Version string      `json:"version"`
	Up      []AppupStep `json:"up"`
	Down    []AppupStep `json:"down"`
}

// AppupStep is the instructions from, or to, another version.
type AppupStep struct {
	From         string `json:"version"`
	Pattern      bool   `json:"pattern,omitempty"` // From is a regular expression, given as a binary, that must match all of a version
	Instructions int    `json:"instructions"`
	Restart      bool   `json:"restart_emulator,omitempty"` // restart_new_emulator or restart_emulator is among them
}

// fits says whether the step is for a version.
func (s AppupStep) fits(version string) bool {
	if !s.Pattern {
		return s.From == version
	}
	p, err := pattern(s.From)
	return err == nil && p.MatchString(version)
}

func pattern(text string) (*regexp.Regexp, error) { return regexp.Compile("^(?:" + text + ")$") }

// parseAppup reads {Vsn, [{From, Instructions}], [{To, Instructions}]}; a relup, whose steps have a description before
// their instructions, is read too.
func parseAppup(name string, b []byte) (Appup, error) {
	terms, err := etf.Consult(name, b)
	if err != nil {
		return Appup{}, err
	}
	if len(terms) != 1 {
		return Appup{}, fmt.Errorf("%s: %d terms, where there should be one", name, len(terms))
	}
	t, ok := terms[0].(etf.Tuple)
	if !ok || len(t) != 3 {
		return Appup{}, fmt.Errorf("%s: it is not {Version, Up, Down}", name)
	}
	var a Appup
	if err := etf.UnmarshalTerm(t[0], &a.Version); err != nil {
		return Appup{}, fmt.Errorf("%s: version: %w", name, err)
	}
	if a.Up, err = appupSteps(t[1]); err == nil {
		a.Down, err = appupSteps(t[2])
	}
	if err != nil {
		return Appup{}, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

func appupSteps(t etf.Term) ([]AppupStep, error) {
	list, ok := t.(etf.List)
	if !ok {
		return nil, fmt.Errorf("%s is no list of instructions", etf.Format(t))
	}
	var steps []AppupStep
	for _, e := range list {
		pair, ok := e.(etf.Tuple)
		if !ok || len(pair) < 2 {
			return nil, fmt.Errorf("%s is not {Version, Instructions}", etf.Format(e))
		}
		var s AppupStep
		if err := etf.UnmarshalTerm(pair[0], &s.From); err != nil {
			return nil, err
		}
		if _, binary := pair[0].(etf.Binary); binary {
			if _, err := pattern(s.From); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", s.From, err)
			}
			s.Pattern = true
		}
		instructions, _ := pair[len(pair)-1].(etf.List)
		s.Instructions = len(instructions)
		for _, i := range instructions {
			if a, ok := i.(etf.Atom); ok && (a == "restart_new_emulator" || a == "restart_emulator") {
				s.Restart = true
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// Covers says whether it leads from an older version up, and back down to it.
func (a *Appup) Covers(version string) (up, down *AppupStep) {
	if a == nil {
		return nil, nil
	}
	find := func(steps []AppupStep) *AppupStep {
		i := slices.IndexFunc(steps, func(s AppupStep) bool { return s.fits(version) })
		if i < 0 {
			return nil
		}
		return &steps[i]
	}
	return find(a.Up), find(a.Down)
}

func (a Appup) upFrom() []string {
	var list []string
	for _, s := range a.Up {
		list = append(list, s.From)
	}
	return list
}
