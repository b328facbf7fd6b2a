package upgrade

import (
	"context"
	"fmt"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

const (
	maxLingering  = 200
	lingeringWait = 20 * time.Second // for all; 100,000 processes take one or two
	factsWait     = 3 * time.Second  // the same, where it need not be complete
	probeWait     = 5 * time.Second  // for one process; as long as release_handler itself would wait
	probeBrief    = 2 * time.Second  // the same, for facts
)

// Lingering lists the processes in old code, at most 200.
//
// Errors: *Error of kind ErrTransient, also when not all processes could be asked in time.
func (j Job) Lingering(ctx context.Context) ([]Lingerer, error) {
	list, err := inOldCode(ctx, j.Node)
	if err != nil {
		return nil, j.fault("look", ErrTransient, "processes", err)
	}
	return list, nil
}

// inOldCode lists the processes in old code, all of them or the first 200.
func inOldCode(ctx context.Context, n Node) ([]Lingerer, error) {
	list, _, unanswered, err := lingering(ctx, n, lingeringWait)
	if err == nil && unanswered > 0 {
		err = fmt.Errorf("%d processes did not say within %v whether they are in old code", unanswered, lingeringWait)
	}
	return list, err
}

// lingering returns the processes in old code, the modules that have old code, used or not, and how many answers were not
// waited for.
func lingering(ctx context.Context, n Node, wait time.Duration) (list []Lingerer, modules []string, unanswered int64, err error) {
	v, err := evaluate(ctx, n, "lingering", binding{"Most", int64(maxLingering)}, binding{"Wait", wait.Milliseconds()})
	if err != nil {
		return nil, nil, 0, err
	}
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 3 {
		return nil, nil, 0, fmt.Errorf("an answer that is not understood: %s", brief(v))
	}
	unanswered, _ = t[1].(int64)
	rows, _ := t[2].(etf.List)
	for _, e := range rows {
		if r, ok := e.(etf.Tuple); ok && len(r) == 5 {
			list = append(list, Lingerer{
				Process: Process{Pid: text(r[0]), Name: text(r[1]), App: text(r[2]), Call: text(r[3]), Why: "is in old code"},
				Modules: texts(r[4]),
			})
		}
	}
	return list, texts(t[0]), unanswered, nil
}

func texts(t etf.Term) []string {
	list, _ := t.(etf.List)
	var all []string
	for _, e := range list {
		all = append(all, text(e))
	}
	return all
}

// why says in words what a process did not do.
var why = map[string]string{
	"supervisor": "the supervisor does not answer; release_handler asks every one for its children, and would restart the BEAM",
	"dynamic":    "does not answer what modules it has (its child specification says dynamic); release_handler would restart the BEAM",
	"worker":     "does not answer system messages; release_handler would wait for it to be suspended",
	"suspended":  "is suspended already (sys:suspend)",
	"master":     "the application's master does not answer",
}

// probe lists the processes that would make an installation fail or wait; modules are those whose processes it suspends.
// Each gets wait to answer, all together four times as long.
func probe(ctx context.Context, n Node, modules []string, wait time.Duration) ([]Process, error) {
	mods := etf.List{}
	for _, m := range modules {
		mods = append(mods, etf.Atom(m))
	}
	v, err := evaluate(ctx, n, "probe", binding{"Modules", mods}, binding{"Wait", wait.Milliseconds()},
		binding{"Total", 4 * wait.Milliseconds()})
	if err != nil {
		return nil, err
	}
	rows, _ := v.(etf.List)
	var list []Process
	for _, e := range rows {
		if r, ok := e.(etf.Tuple); ok && len(r) == 5 {
			kind := text(r[4])
			list = append(list, Process{Pid: text(r[0]), Name: text(r[1]), App: text(r[2]), Call: text(r[3]), Why: why[kind], Fatal: true})
		}
	}
	return list, nil
}
