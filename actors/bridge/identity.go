package bridge

import (
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// Pids of the node itself have serials from 4096 to 8191 (node.SpawnAs). No actor gets there: it would be the
// 17,592,186,044,416th.
const (
	firstNodeSerial = 4096
	lastNodeSerial  = 8191
)

// PID is the Ergo form of an Erlang pid: the same number on the same node. Of the own node, pids of actors become
// the actor's; those of processes that package node made belong, as Ergo sees it, to a node named by localPeer,
// since Ergo looks for what is its own only among actors.
func (s *System) PID(p etf.Pid) gen.PID {
	if p == (etf.Pid{}) {
		return gen.PID{}
	}
	g := gen.PID{Node: gen.Atom(p.Node), ID: uint64(p.ID) | uint64(p.Serial)<<32, Creation: int64(p.Creation)}
	if g.Node != s.name || s.node == nil || p.Creation != s.node.Creation() {
		return g
	}
	if p.Serial >= firstNodeSerial && p.Serial <= lastNodeSerial {
		g.Node = s.localPeer
	} else {
		g.Creation = s.ergo.Creation()
	}
	return g
}

// Pid is the Erlang form of an Ergo pid, the inverse of PID.
func (s *System) Pid(g gen.PID) etf.Pid {
	if g == (gen.PID{}) {
		return etf.Pid{}
	}
	p := etf.Pid{Node: etf.Atom(g.Node), ID: uint32(g.ID), Serial: uint32(g.ID >> 32), Creation: uint32(g.Creation)}
	switch {
	case g.Node == s.localPeer:
		p.Node = etf.Atom(s.name)
	case g.Node == s.name && s.node != nil && g.Creation == s.ergo.Creation():
		p.Creation = s.node.Creation()
	}
	return p
}

// Alias is the Ergo form of an alias of an Erlang process, to send to.
func Alias(r etf.Ref) gen.Alias {
	return gen.Alias{
		Node:     gen.Atom(r.Node),
		Creation: int64(r.Creation),
		ID: [3]uint64{
			uint64(r.ID[0]) | uint64(r.ID[1])<<32,
			uint64(r.ID[2]) | uint64(r.ID[3])<<32,
			uint64(r.ID[4]) | uint64(r.Len)<<32,
		},
	}
}

// aliasRef is the inverse of Alias.
func aliasRef(a gen.Alias) etf.Ref {
	return etf.Ref{
		Node:     etf.Atom(a.Node),
		Creation: uint32(a.Creation),
		Len:      uint8(a.ID[2] >> 32),
		ID: [5]uint32{
			uint32(a.ID[0]), uint32(a.ID[0] >> 32),
			uint32(a.ID[1]), uint32(a.ID[1] >> 32),
			uint32(a.ID[2]),
		},
	}
}

// dest is where a message to the Ergo address goes: a gen.PID, gen.ProcessID or gen.Alias, or the etf and node forms
// of them. Error: gen.ErrUnsupported, or of a malformed node name.
func (s *System) dest(to any) (node.Dest, error) {
	switch t := to.(type) {
	case gen.PID:
		return node.ToPid(s.Pid(t)), nil
	case gen.ProcessID:
		peer, err := s.peerName(t.Node)
		return node.ToName(etf.Atom(t.Name), peer), err
	case gen.Alias:
		return node.ToAlias(aliasRef(t)), nil
	case etf.Pid:
		return node.ToPid(t), nil
	case etf.Ref:
		return node.ToAlias(t), nil
	case node.Dest:
		return t, nil
	}
	return node.Dest{}, gen.ErrUnsupported
}

func (s *System) peerName(n gen.Atom) (node.Name, error) {
	if n == s.localPeer {
		return node.Name{}, nil
	}
	return node.ParseName(string(n))
}

func (s *System) processID(name etf.Atom, peer node.Name) gen.ProcessID {
	id := gen.ProcessID{Name: gen.Atom(name), Node: gen.Atom(peer.String())}
	if peer == (node.Name{}) {
		id.Node = s.localPeer
	}
	return id
}

// term turns Ergo's pids, names, aliases and errors inside a message into Erlang terms. What holds none is returned
// as it is.
func (s *System) term(v any) etf.Term {
	switch t := v.(type) {
	case gen.PID:
		return s.Pid(t)
	case gen.Atom:
		return etf.Atom(t)
	case gen.ProcessID:
		return etf.Tuple{etf.Atom(t.Name), etf.Atom(t.Node)}
	case gen.Alias:
		return aliasRef(t)
	case error:
		return ReasonTerm(t)
	case etf.Tuple:
		return etf.Tuple(s.terms(t))
	case etf.List:
		return etf.List(s.terms(t))
	case etf.ImproperList:
		t.Elems, t.Tail = s.terms(t.Elems), s.term(t.Tail)
		return t
	case etf.Map:
		return s.mapTerm(t)
	}
	return v
}

// terms copies the slice only when something in it changes.
func (s *System) terms(in []etf.Term) []etf.Term {
	var out []etf.Term
	for i, v := range in {
		if !convertible(v) {
			continue
		}
		if out == nil {
			out = append([]etf.Term(nil), in...)
		}
		out[i] = s.term(v)
	}
	if out == nil {
		return in
	}
	return out
}

func (s *System) mapTerm(in etf.Map) etf.Map {
	var out etf.Map
	for i, p := range in {
		if !convertible(p.Key) && !convertible(p.Value) {
			continue
		}
		if out == nil {
			out = append(etf.Map(nil), in...)
		}
		out[i] = etf.MapPair{Key: s.term(p.Key), Value: s.term(p.Value)}
	}
	if out == nil {
		return in
	}
	return out
}

// convertible tells whether term has to change something in v.
func convertible(v any) bool {
	switch t := v.(type) {
	case gen.PID, gen.Atom, gen.ProcessID, gen.Alias, error:
		return true
	case etf.Tuple:
		return anyConvertible(t)
	case etf.List:
		return anyConvertible(t)
	case etf.ImproperList:
		return anyConvertible(t.Elems) || convertible(t.Tail)
	case etf.Map:
		for _, p := range t {
			if convertible(p.Key) || convertible(p.Value) {
				return true
			}
		}
	}
	return false
}

func anyConvertible(in []etf.Term) bool {
	for _, v := range in {
		if convertible(v) {
			return true
		}
	}
	return false
}
