package node

const (
	// callsOfAll is how many functions may run for all peers, in times of MaxCalls.
	callsOfAll = 4
	// callsGranted is how many functions a peer may always have running, whatever others do.
	callsGranted = 64
)

// beginCall books a function to be run for the peer, whose arguments took so many bytes on the wire. It is false when the
// peer, or all peers together, have as many as may be, or when the arguments of the running ones together are larger
// than a message may be. The link's reader calls it.
func (l *link) beginCall(bytes int) bool {
	n := l.node
	running := int(l.calls.Load())
	switch {
	case running >= n.config.MaxCalls:
		return false
	case running >= callsGranted && n.calls.Load() >= int64(callsOfAll*n.config.MaxCalls):
		return false
	case running > 0 && l.callBytes.Load()+int64(bytes) > int64(n.config.MaxMessageBytes):
		return false
	}
	l.calls.Add(1)
	l.callBytes.Add(int64(bytes))
	n.calls.Add(1)
	return true
}

// endCall is called when the function has returned.
func (l *link) endCall(bytes int) {
	l.calls.Add(-1)
	l.callBytes.Add(-int64(bytes))
	l.node.calls.Add(-1)
}
