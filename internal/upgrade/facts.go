package upgrade

import (
	"context"
	"errors"
	"fmt"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/release"
)

// Facts asks a running instance for what decides whether it can be upgraded. It takes a second or two at most, longer
// where processes do not answer.
//
// Errors: *Error of kind ErrTransient when the node cannot be asked.
func Facts(ctx context.Context, n Node) (Live, error) {
	l, err := facts(ctx, n)
	if err != nil {
		return Live{}, &Error{Op: "facts", Kind: ErrTransient, Reason: "link", Err: err}
	}
	return l, nil
}

func facts(ctx context.Context, n Node) (Live, error) {
	v, err := evaluate(ctx, n, "facts")
	if err != nil {
		return Live{}, err
	}
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 8 {
		return Live{}, fmt.Errorf("an answer that is not understood: %s", brief(v))
	}
	l := Live{Root: text(t[0]), ERTS: text(t[1]), OTP: text(t[2]), Systools: t[4] == etf.Term(etf.Atom("true"))}
	processes, _ := t[5].(int64)
	l.Processes = int(processes)
	l.Memory, _ = t[6].(int64)
	apps, _ := t[3].(etf.List)
	for _, e := range apps {
		if a, ok := e.(etf.Tuple); ok && len(a) == 2 {
			l.Applications = append(l.Applications, release.Application{Name: text(a[0]), Version: text(a[1])})
		}
	}
	if id, ok := t[7].(etf.Tuple); ok && len(id) == 2 {
		l.Name, l.Version = text(id[0]), text(id[1])
	}
	if l.DiskFree, err = free(l.Root); err != nil {
		l.DiskFree = 0 // its file system is not this one's
	}
	if v, err = askState(ctx, n, 0); err != nil {
		return Live{}, err
	}
	s, _, err := readState(v)
	switch {
	case errors.Is(err, errNoSASL):
	case err != nil:
		return Live{}, err
	default:
		l.ReleaseHandler, l.Releases, l.Installing = true, s.Releases, s.Installing != nil
		if s.Running != "" {
			l.Version = s.Running
		}
	}
	if l.OldCode, l.OldModules, _, err = lingering(ctx, n, factsWait); err != nil {
		return Live{}, err
	}
	if l.Unresponsive, err = probe(ctx, n, nil, probeBrief); err != nil {
		return Live{}, err
	}
	return l, nil
}
