package node

import "context"

// Mailbox is a Receiver that keeps signals until they are asked for. The zero value is ready and without bound, as an Erlang mailbox.
type Mailbox struct{}

// Receive is called by the node.
func (m *Mailbox) Receive(p *Process, s Signal) { panic("todo") }

// Next waits for the next signal, in order of arrival.
func (m *Mailbox) Next(ctx context.Context) (Signal, error) { panic("todo") }

// Len is the number of signals waiting.
func (m *Mailbox) Len() int { panic("todo") }
