package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// state of a Node.
type state uint8

const (
	fresh state = iota
	running
	over
)

// Node is a distribution node. Its methods may be called by any goroutine.
type Node struct {
	// constant
	config    Config
	self      etf.Atom
	creation  uint32
	epmd      *EPMDClient
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	accepting chan struct{} // one token for each goroutine that accepts
	probes    probes
	inbound   handshakes
	warnings  gate         // of what strangers can cause as often as they like
	flaps     gate         // of links that come and go
	calls     atomic.Int64 // functions running for all peers
	events    eventQueue
	client    *client  // Call and GenCall
	io        *Process // group leader of what Call runs
	refs      atomic.Uint64
	unlinks   atomic.Uint64 // identifiers of UNLINK_ID
	sequences atomic.Uint64 // identifiers of fragmented messages
	refBase   uint32
	wg        sync.WaitGroup

	mu        sync.RWMutex
	state     state
	listeners []net.Listener // the first is the configured one
	epmdReg   *registration
	peers     map[Name]*peer
	links     int // peers with a link

	procs procTable
	funcs funcTable
}

// New makes a node that is not on the network yet. Its creation is drawn here rather than taken from EPMD, so that processes
// can be spawned before Start and keep their pids when EPMD comes later or is restarted; peers only see the
// one in the handshake.
func New(c Config) (*Node, error) {
	var seed [12]byte
	rand.Read(seed[:]) // never fails
	return newNode(c, randomCreation(), seed)
}

// newNode makes a node whose pids and references are as creation and seed say.
func newNode(c Config, creation uint32, seed [12]byte) (*Node, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		config: c, self: c.Name.Atom(), creation: creation,
		accepting: make(chan struct{}, 2*maxAccepting),
		peers:     map[Name]*peer{},
		flaps:     gate{burst: flapBurst},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.epmd = &EPMDClient{Addr: c.EPMDAddr, Self: c.Name.Host, Resolve: c.Resolve}
	n.refs.Store(binary.BigEndian.Uint64(seed[:]) >> 16)
	n.refBase = binary.BigEndian.Uint32(seed[8:])
	n.procs.init(n)
	n.events.init()
	n.spawnServices()
	return n, nil
}

// randomCreation is neither 0, which means any, nor one of the small ones that old nodes use.
func randomCreation() uint32 {
	for {
		if c := randomChallenge(); c > 3 {
			return c
		}
	}
}

func randomAlive() string { return strings.ToLower(rand.Text()[:12]) }

// Start listens, begins to accept links and registers with EPMD. It does not fail when EPMD is not there:
// registration goes on in the background, after 50 ms at first. ctx is for Start only.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch n.state {
	case running:
		return errors.New("node: started already")
	case over:
		return ErrClosed
	}
	port := 0
	if n.config.Listen != listenNone {
		var err error
		if port, err = n.listen(ctx); err != nil {
			return fmt.Errorf("node: listen: %w", err)
		}
	}
	n.state = running
	if port != 0 && !n.config.NoEPMD {
		req := alive2Req{port: uint16(port), hidden: true, name: n.config.Name.Alive}
		n.epmdReg = newRegistration(n.config.EPMDAddr, req, n.config.Log)
		n.wg.Go(func() { n.epmdReg.run(n.ctx) })
	}
	n.wg.Go(func() { n.events.run(n.ctx) })
	return nil
}

// Close takes the node off the network: links go down, registration ends, functions of HandleFunc are cancelled, and
// every goroutine of the node has ended when it returns. It must not be called by a Receiver, a function of HandleFunc or a
// subscriber. Calls after the first return nil.
func (n *Node) Close() error {
	n.mu.Lock()
	was := n.state
	n.state = over
	var links []*link
	for _, p := range n.peers {
		if p.link != nil {
			links = append(links, p.link)
		}
	}
	listeners := n.listeners
	n.mu.Unlock()
	if was == over {
		return nil
	}
	for _, l := range listeners {
		l.Close() // it was ours; there is nothing to do about a failure
	}
	for _, l := range links {
		l.fail(ErrClosed)
	}
	for _, l := range links {
		<-l.finished // so that subscribers hear of it
	}
	n.cancel()
	n.wg.Wait()
	return nil
}

// stateErr tells why a node that is not running cannot be used. n.mu is held.
func (n *Node) stateErr() error {
	switch n.state {
	case fresh:
		return ErrNotStarted
	case over:
		return ErrClosed
	}
	return nil
}

// soon runs f in a goroutine that Close waits for.
func (n *Node) soon(f func()) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.state == over {
		go f() // it ends at once; Close waits no more
		return
	}
	n.wg.Go(f)
}

// pause waits and reports false when the node is closed meanwhile.
func (n *Node) pause(d time.Duration) bool {
	select {
	case <-n.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Name is the node's name.
func (n *Node) Name() Name { return n.config.Name }

// Creation tells this run of the node from others of the same name.
func (n *Node) Creation() uint32 { return n.creation }

// Port is the TCP port that links come in by, 0 when not listening.
func (n *Node) Port() int {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.listeners) == 0 {
		return 0
	}
	if tcp, ok := n.listeners[0].Addr().(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

// Registered waits until EPMD knows the node, or ctx ends. The error then says why it does not yet.
func (n *Node) Registered(ctx context.Context) error {
	n.mu.RLock()
	reg, err := n.epmdReg, n.stateErr()
	n.mu.RUnlock()
	if err != nil {
		return err
	}
	if reg == nil {
		return errors.New("node: configured not to register with epmd")
	}
	return reg.wait(ctx)
}

// EPMD asks the port mappers of this and other hosts.
func (n *Node) EPMD() *EPMDClient { return n.epmd }

// PeerInfo describes a link.
type PeerInfo struct {
	Name     Name
	Hidden   bool // the peer does not publish itself
	Inbound  bool // the peer connected to us
	Creation uint32
	Flags    Flags // what both sides can do
	Since    time.Time
	Addr     string // remote address
	BytesIn  uint64
	BytesOut uint64
	Queued   int // bytes in the outbox
}

// Peers lists the links, sorted by name.
func (n *Node) Peers() []PeerInfo {
	n.mu.RLock()
	defer n.mu.RUnlock()
	infos := []PeerInfo{}
	for name, p := range n.peers {
		l := p.link
		if l == nil || l.closed() {
			continue
		}
		written, queued := l.out.stats()
		infos = append(infos, PeerInfo{
			Name: name, Hidden: l.hidden(), Inbound: l.inbound, Creation: l.creation, Flags: l.flags, Since: l.since,
			Addr: l.conn.RemoteAddr().String(), BytesIn: l.bytesIn.Load(), BytesOut: written, Queued: queued,
		})
	}
	slices.SortFunc(infos, func(a, b PeerInfo) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return infos
}

// MakeRef makes a reference that this node never made before. It has three words, the first of 18 bits, as
// every OTP understands.
func (n *Node) MakeRef() etf.Ref {
	v := n.refs.Add(1)
	return etf.Ref{
		Node: n.self, Creation: n.creation, Len: 3,
		ID: [5]uint32{uint32(v & 0x3ffff), uint32(v >> 18), n.refBase + uint32(v>>50)},
	}
}
