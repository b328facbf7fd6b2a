package observer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

const maxSessions = 16

// handleShell answers erl -remsh: shell:start/0 makes a session that talks to the caller's group leader by the I/O protocol.
func (b *Observer) handleShell() {
	if b.opts.Shell == nil {
		return
	}
	sessions := make(chan struct{}, maxSessions)
	start := func(_ context.Context, info node.CallInfo, _ []etf.Term) (etf.Term, error) {
		if info.GroupLeader == (etf.Pid{}) {
			return nil, errBadarg
		}
		if err := b.private(info.Peer); err != nil {
			return nil, err
		}
		if !theirs(info, info.GroupLeader) {
			return nil, refused("the group leader is of another node")
		}
		select {
		case sessions <- struct{}{}:
		default:
			return nil, refused("too many shells are open")
		}
		s := &session{b: b, leader: info.GroupLeader, peer: info.Peer, replies: make(chan ioReply, 1)}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.proc = b.node.Spawn(s)
		go func() {
			defer func() { <-sessions }()
			s.run()
		}()
		b.log.Info("shell opened", "peer", info.Peer.String())
		return s.proc.Pid(), nil
	}
	for _, arity := range []int{0, 1, 2} {
		b.node.HandleFunc("shell", "start", arity, start)
	}
	b.handle("group", "whereis_shell", 0, constant(undefined))
	b.handle("edlin_expand", "expand", 1, b.expand)
	b.handle("edlin_expand", "expand", 2, b.expand)
}

// expand is edlin_expand:expand/1,2: what Tab does. It gets the text before the cursor in reverse.
func (b *Observer) expand(args []etf.Term) (etf.Term, error) {
	none := etf.Tuple{etf.Atom("no"), etf.List{}, etf.List{}}
	text, ok := etf.Text(args[0])
	if !ok {
		return none, nil
	}
	r := []rune(text)
	slices.Reverse(r)
	line := string(r)
	words := b.opts.Shell.Complete(line)
	if len(words) == 0 {
		return none, nil
	}
	typed := line[strings.LastIndexByte(line, ' ')+1:]
	common := words[0]
	for _, w := range words[1:] {
		for !strings.HasPrefix(w, common) {
			common = common[:len(common)-1]
		}
	}
	add := strings.TrimPrefix(common, typed)
	if len(words) == 1 {
		return etf.Tuple{etf.Atom("yes"), str(add + " "), etf.List{}}, nil
	}
	matches := etf.List{}
	if add == "" {
		for _, w := range words {
			matches = append(matches, etf.Tuple{str(w), etf.List{}})
		}
	}
	return etf.Tuple{etf.Atom("yes"), str(add), matches}, nil
}

// session is one remote shell. The client has linked itself to its process.
type session struct {
	b       *Observer
	proc    *node.Process
	leader  etf.Pid
	peer    node.Name
	replies chan ioReply
	ctx     context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex
	command context.CancelFunc // ends the command that runs
}

func (*session) String() string { return "shell" }

type ioReply struct {
	ref   etf.Term
	reply etf.Term
}

// Receive takes {io_reply, ReplyAs, Reply}, interrupts (^G i) and the end of the client.
func (s *session) Receive(p *node.Process, sig node.Signal) {
	switch m := sig.(type) {
	case node.Message:
		if t, ok := m.Term.(etf.Tuple); ok && len(t) == 3 && t[0] == etf.Term(etf.Atom("io_reply")) {
			select {
			case s.replies <- ioReply{t[1], t[2]}:
			default: // nobody waits for so many
			}
		}
	case node.Exit:
		if !m.Linked && m.Reason == etf.Term(etf.Atom("interrupt")) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.command != nil {
				s.command()
			}
			return
		}
		s.cancel()
		p.Exit(m.Reason)
	}
}

var errShellEnd = errors.New("end of input")

// ask sends an I/O request and waits for the reply.
func (s *session) ask(ctx context.Context, req etf.Term) (etf.Term, error) {
	ref := s.b.node.MakeRef()
	err := s.proc.Send(ctx, node.ToPid(s.leader), etf.Tuple{etf.Atom("io_request"), s.proc.Pid(), ref, req})
	if err != nil {
		return nil, err
	}
	for {
		select {
		case r := <-s.replies:
			if r.ref == etf.Term(ref) {
				return r.reply, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Write prints.
func (s *session) Write(text []byte) (int, error) {
	_, err := s.ask(s.ctx, etf.Tuple{etf.Atom("put_chars"), etf.Atom("unicode"), etf.Binary(slices.Clone(text))})
	if err != nil {
		return 0, err
	}
	return len(text), nil
}

func (s *session) line(prompt string) (string, error) {
	t, err := s.ask(s.ctx, etf.Tuple{etf.Atom("get_line"), etf.Atom("unicode"), str(prompt)})
	if err != nil {
		return "", err
	}
	if _, isAtom := t.(etf.Atom); isAtom {
		return "", errShellEnd
	}
	text, ok := etf.Text(t)
	if !ok {
		return "", errShellEnd // {error, Reason}
	}
	return text, nil
}

func (s *session) run() {
	defer s.cancel()
	defer s.proc.Exit(etf.Atom("normal"))
	prompt := "(" + s.b.node.Name().String() + ")> "
	if _, err := io.WriteString(s, s.b.opts.Shell.Banner()+"\n"); err != nil {
		return
	}
	for {
		line, err := s.line(prompt)
		if err != nil {
			return
		}
		line = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "."))
		switch line {
		case "":
			continue
		case "exit", "quit", "logout", "q()", "exit()", "halt()":
			_, _ = io.WriteString(s, "Bye. The daemon runs on.\n") // the end anyway
			return
		}
		if err := s.runLine(line); err != nil {
			return
		}
	}
}

// runLine runs a command. The error is that of the session.
func (s *session) runLine(line string) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	s.mu.Lock()
	s.command = cancel
	s.mu.Unlock()
	err := s.b.opts.Shell.Run(ctx, s.peer, line, s)
	s.mu.Lock()
	s.command = nil
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if err == nil {
		return nil
	}
	_, err = fmt.Fprintf(s, "%v\n", err)
	return err
}
