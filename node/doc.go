// Package node is an Erlang distribution node in plain Go: it registers with EPMD, shakes hands with
// real BEAMs (distribution handshake version 6, OTP 23 and later), and speaks the connected protocol:
// messages, links, monitors, aliases, spawn requests and rpc, both ways. It is hidden by default.
//
// A Node is made by New from a Config, started by Start and ended by Close, which waits for every
// goroutine. Connect, Call and the sending methods of Process dial a peer when there is no link yet.
//
// # Local processes
//
// A Process is a pid of this node with a Receiver behind it. Links, monitors, aliases and registered
// names of a Process behave as those of an Erlang process; it always traps exits: the Receiver gets
// Exit and Down values and decides. Only an exit signal with reason kill ends a Process by itself.
//
// # Who runs the Receiver
//
// Receive is called by the one goroutine that reads the link, in the order in which the peer sent.
// Signals of one peer never overtake each other; those of different peers come from different
// goroutines at the same time. While Receive runs, nothing else of that peer is read, so it must only
// hand the signal over (to a mailbox, a channel with room, another goroutine) or do work of
// microseconds. It must never wait for something that arrives over the same link: no Call, no GenCall,
// no Connect. A Receiver that wants to take its time puts a Mailbox in front of itself. A Receiver
// that holds a link up for longer than five seconds is named in a warning. Ticks and what other goroutines
// send go on meanwhile: the writer is independent of the reader. Functions of HandleFunc run in goroutines of
// their own and may block; what holds for a Receiver holds for those of HandleQuick.
//
// # Sending
//
// Each link has one outbox, bounded in bytes (Config.OutboxBytes). What one process sends to a peer
// leaves in order. A sender waits while the outbox is full, until its ctx ends. Terms are encoded
// before the sending method returns, except binaries of 16 KiB and more, which are written from the
// caller's memory later: they must not be changed after having been sent.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html
package node
