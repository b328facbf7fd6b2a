// Package probe asks an instance whether it is ready or still alive: over HTTP, by opening a TCP connection, by
// running a program, or by a call on its node.
package probe

import (
	"context"
	"errors"
	"time"
)

var errTODO = errors.New("probe: not written yet")

// Probe asks once. A nil error is a success; any other says why not, for people.
type Probe interface {
	Probe(ctx context.Context) error
	String() string // what is asked: http http://127.0.0.1:4000/health
}

// DefaultTimeout limits one attempt when the probe names no other limit.
const DefaultTimeout = 5 * time.Second

// HTTP passes when GET URL answers 2xx or 3xx. Redirects are not followed.
type HTTP struct {
	URL     string
	Timeout time.Duration
}

// TCP passes when a connection to Address (host:port) is accepted.
type TCP struct {
	Address string
	Timeout time.Duration
}

// Exec passes when a program exits 0 in time. It is killed with everything in its process group otherwise.
type Exec struct {
	Argv    []string // program and arguments, no shell
	Env     []string // of the instance
	Dir     string
	User    string // OS user; empty: the daemon's
	Timeout time.Duration
}

// RPC passes when Call gives nil. Name is what is shown: M:F/A.
//
// Call makes the call on the instance and gives its value as Erlang text; true, ok and {ok,_} pass.
type RPC struct {
	Name    string
	Call    func(ctx context.Context) (text string, err error)
	Timeout time.Duration
}

// Options of Wait.
type Options struct {
	Successes int           // in a row; 0: 1
	Interval  time.Duration // between attempts; 0: 100 ms
	Report    func(Attempt) // called after each attempt; may be nil
}

// Attempt is the outcome of one probe.
type Attempt struct {
	Number    int // from 1
	Successes int // in a row so far
	Err       error
}

// Wait probes until it has passed Successes times in a row, or ctx ends; the error then holds the last failure
// and is ctx's error for errors.Is.
func Wait(ctx context.Context, p Probe, o Options) error { return errTODO }

// Probe implements Probe.
func (p HTTP) Probe(ctx context.Context) error { return errTODO }

// Probe implements Probe.
func (p TCP) Probe(ctx context.Context) error { return errTODO }

// Probe implements Probe.
func (p Exec) Probe(ctx context.Context) error { return errTODO }

// Probe implements Probe.
func (p RPC) Probe(ctx context.Context) error { return errTODO }

func (p HTTP) String() string { return "http " + p.URL }
func (p TCP) String() string  { return "tcp " + p.Address }
func (p Exec) String() string { return "exec" }
func (p RPC) String() string  { return "rpc " + p.Name }
