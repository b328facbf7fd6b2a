package observer

import (
	"context"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// A message of get_table holds so many rows, or rows of so many estimated bytes.
const (
	rowsChunk    = 100
	maxTableRows = 10000 // of one get_table
)

// tableBytes remembers the size of all tables for a while: memory is asked for ten times a second.
type tableBytes struct {
	mu    sync.Mutex
	bytes int64
	at    time.Time
}

const tableBytesAge = 5 * time.Second

func (c *tableBytes) total(tables []Table) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(tables) > 0 && time.Since(c.at) > tableBytesAge {
		c.bytes, c.at = 0, time.Now()
		for _, t := range tables {
			_, bytes := t.Size()
			c.bytes += int64(bytes)
		}
	}
	return c.bytes
}

// tableList is observer_backend:get_table_list/2.
func (b *Observer) tableList(_ context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	switch args[0] {
	case etf.Term(etf.Atom("mnesia")):
		return nil, &node.CallError{Class: node.ClassThrow, Reason: etf.Tuple{etf.Atom("error"), str("Mnesia is not running on: " + string(b.self()))}}
	case etf.Term(etf.Atom("ets")):
	default:
		return nil, errBadarg
	}
	all := etf.List{}
	if b.private(info.Peer) != nil {
		return all, nil
	}
	for _, t := range b.opts.Tables {
		rows, bytes := t.Size()
		all = append(all, etf.List{
			pair("name", t.Name), pair("id", etf.Atom("ignore")), pair("protection", etf.Atom("protected")), pair("owner", b.master.Pid()),
			pair("size", rows), pair("reg_name", b.opts.App), pair("type", etf.Atom("ordered_set")), pair("keypos", 1), pair("heir", etf.Atom("none")),
			pair("memory", bytes), pair("compressed", false), pair("fixed", false),
		})
	}
	return all, nil
}

func (b *Observer) findTable(name etf.Term) (Table, bool) {
	for _, t := range b.opts.Tables {
		if name == etf.Term(t.Name) {
			return t, true
		}
	}
	return Table{}, false
}

// table is observer_backend:get_table(Parent, Table, ets): the pid of a process linked to Parent that sends it
// {self(), [[Row]]} until all is sent, then {self(), '$end_of_table'}.
func (b *Observer) table(_ context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	if err := b.private(info.Peer); err != nil {
		return nil, err
	}
	parent, ok := args[0].(etf.Pid)
	if !ok || !theirs(info, parent) {
		return nil, errBadarg
	}
	t, ok := b.findTable(args[1])
	if !ok || args[2] != etf.Term(etf.Atom("ets")) {
		return nil, errBadarg
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := b.node.Spawn(node.ReceiverFunc(func(p *node.Process, s node.Signal) {
		if e, ok := s.(node.Exit); ok {
			cancel()
			p.Exit(e.Reason)
		}
	}))
	sending := b.errand(func() {
		defer cancel()
		reason := etf.Term(etf.Atom("normal"))
		if err := b.sendTable(ctx, p, parent, t); err != nil {
			reason = etf.Tuple{etf.Atom("error"), etf.Binary(err.Error())}
		}
		p.Exit(reason)
	})
	if !sending {
		cancel()
		p.Exit(etf.Atom("normal"))
		return nil, refused("too many are being answered")
	}
	return p.Pid(), nil
}

func (b *Observer) sendTable(ctx context.Context, p *node.Process, parent etf.Pid, t Table) error {
	if err := p.Link(ctx, parent); err != nil {
		return err
	}
	send := func(v etf.Term) error { return p.Send(ctx, node.ToPid(parent), etf.Tuple{p.Pid(), v}) }
	var err error
	chunk, n := etf.List{}, 0
	t.Rows(func(row etf.Tuple) bool {
		chunk = append(chunk, etf.List{row})
		if n++; len(chunk) == rowsChunk {
			err = send(chunk)
			chunk = etf.List{}
		}
		return err == nil && n < maxTableRows
	})
	if err == nil && len(chunk) > 0 {
		err = send(chunk)
	}
	if err != nil {
		return err
	}
	return send(etf.Atom("$end_of_table"))
}

func (b *Observer) tableNames([]etf.Term) (etf.Term, error) {
	l := etf.List{}
	for _, t := range b.opts.Tables {
		l = append(l, t.Name)
	}
	return l, nil
}

// tableInfo is ets:info/2.
func (b *Observer) tableInfo(args []etf.Term) (etf.Term, error) {
	t, ok := b.findTable(args[0])
	if !ok {
		return undefined, nil
	}
	rows, bytes := t.Size()
	switch args[1] {
	case etf.Term(etf.Atom("size")):
		return int64(rows), nil
	case etf.Term(etf.Atom("memory")):
		return int64(bytes / wordSize), nil
	case etf.Term(etf.Atom("keypos")):
		return int64(1), nil
	case etf.Term(etf.Atom("name")):
		return t.Name, nil
	case etf.Term(etf.Atom("type")):
		return etf.Atom("ordered_set"), nil
	case etf.Term(etf.Atom("owner")):
		return b.master.Pid(), nil
	case etf.Term(etf.Atom("protection")):
		return etf.Atom("protected"), nil
	case etf.Term(etf.Atom("named_table")):
		return true, nil
	}
	return undefined, nil
}
