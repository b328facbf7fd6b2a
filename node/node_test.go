package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want Name
		ok   bool
	}{
		{"a@b", Name{"a", "b"}, true},
		{"shop-1a2b3c@host.example.org", Name{"shop-1a2b3c", "host.example.org"}, true},
		{"", Name{}, false}, {"a", Name{}, false}, {"@b", Name{}, false}, {"a@", Name{}, false}, {"a@b@c", Name{}, false},
		{"a b@c", Name{}, false}, {"a@c\n", Name{}, false}, {"a/../b@c", Name{}, false}, {"\xff@c", Name{}, false},
		{strings.Repeat("x", 300) + "@h", Name{}, false},
	} {
		got, err := ParseName(c.in)
		if got != c.want || (err == nil) != c.ok || (err != nil && !errors.Is(err, ErrBadName)) {
			t.Errorf("ParseName(%.20q) = %v, %v", c.in, got, err)
		}
	}
	if d := (Name{"a", "h"}).Domain(); d != ShortNames {
		t.Errorf("a@h: %v", d)
	}
	if d := (Name{"a", "h.x"}).Domain(); d != LongNames {
		t.Errorf("a@h.x: %v", d)
	}
	if s := (Name{}).String(); s != "" {
		t.Errorf("zero name %q", s)
	}
}

func TestCookie_ShowsNothing(t *testing.T) {
	t.Parallel()
	c := Cookie("topsecret")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "cookie", c, "config", fmt.Sprintf("%+v", Config{Cookie: c}))
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c, c), log.String()} {
		if strings.Contains(text, "topsecret") {
			t.Errorf("shown: %s", text)
		}
	}
}

func TestLoadCookie(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		want          Cookie
		err           string
	}{
		{"good", "abc\n", 0o400, "abc", ""},
		{"open", "abc", 0o644, "", "mode 0644"},
		{"empty", " \n", 0o400, "", "empty"},
		{"two", "a b", 0o400, "", "one word"},
		{"long", strings.Repeat("x", 256), 0o400, "", "at most"},
	} {
		file := filepath.Join(dir, c.name)
		if err := os.WriteFile(file, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := LoadCookie(file)
		if got != c.want || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %q, %v", c.name, string(got), err)
		}
	}
	if _, err := LoadCookie(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	name := Name{"a", "h"}
	for _, c := range []Config{
		{}, {Name: name}, {Name: Name{"a", ""}, Cookie: "x"}, {Name: name, Cookie: "x", EPMDAddr: "nonsense"},
		{Name: name, Cookie: "x", Listen: "nonsense"}, {Name: name, Cookie: "x", OutboxBytes: -1},
		{Name: name, Cookie: Cookie(strings.Repeat("x", 300))},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("no error for %+v", c)
		}
	}
	good := Config{Name: name, Cookie: "x"}
	if err := good.Validate(); err != nil || good.NetTickTime != DefaultNetTickTime || good.Listen != DefaultListen || good.Log == nil {
		t.Errorf("%+v, %v", good, err)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	if got, err := checkPeerFlags(FlagMandatory25 | FlagSpawn); err != nil || !got.Has(flagsMandatory|FlagSpawn) {
		t.Errorf("digest of OTP 25 = %v, %v", got, err)
	}
	_, err := checkPeerFlags(flagsMandatory &^ FlagBigCreation)
	if !errors.Is(err, ErrFlags) || !strings.Contains(err.Error(), "BIG_CREATION") {
		t.Errorf("without BIG_CREATION: %v", err)
	}
	if flagsOurs.Has(FlagPublished) || flagsOurs.Has(FlagNameMe) || flagsOurs.Has(FlagLocalExt) || flagsOurs.Has(FlagNativeRecords) {
		t.Error("flags advertised that are not meant")
	}
}

// Malformed input ends the link with a reason, and the daemon lives on.
func TestLink_MalformedInput(t *testing.T) {
	t.Parallel()
	frame := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	ctl := func(t etf.Term) []byte {
		b, err := etf.AppendTerm([]byte{131, 68, 0}, t)
		if err != nil {
			panic(err)
		}
		return frame(b...)
	}
	pid := etf.Pid{Node: "beam@localhost", ID: 1, Creation: 7}
	other := etf.Pid{Node: "other@localhost", ID: 1, Creation: 7}
	ours := etf.Pid{Node: "keeper@localhost", ID: 1, Creation: flowCreation}
	ref := etf.Ref{Node: "beam@localhost", Creation: 7, Len: 3}
	for name, b := range map[string][]byte{
		"longer than allowed":                    {0xff, 0xff, 0xff, 0xff},
		"unknown type":                           frame(7, 7),
		"unknown header":                         frame(131, 99),
		"no control message":                     frame(131, 68, 0),
		"control message no tuple":               ctl(etf.Atom("x")),
		"unknown operation":                      ctl(etf.Tuple{99, 1}),
		"negative operation":                     ctl(etf.Tuple{-1, 1}),
		"wrong arity":                            ctl(etf.Tuple{1, pid}),
		"no pid where one belongs":               ctl(etf.Tuple{1, 2, 3}),
		"payload where none belongs":             append(frame(append(ctl(etf.Tuple{1, pid, ours})[4:], 106)...), 0),
		"no payload":                             ctl(etf.Tuple{22, pid, pid}),
		"half a payload":                         frame(append(ctl(etf.Tuple{6, pid, etf.Atom(""), etf.Atom("box")})[4:], 109, 0, 0)...),
		"two payloads":                           frame(append(ctl(etf.Tuple{6, pid, etf.Atom(""), etf.Atom("box")})[4:], 106, 106)...),
		"cache reference without header":         frame(131, 68, 0, 82, 0),
		"link by a pid of another node":          ctl(etf.Tuple{opLink, other, ours}),
		"link to a pid of another node":          ctl(etf.Tuple{opLink, pid, other}),
		"unlink by a pid of another node":        ctl(etf.Tuple{opUnlink, other, ours}),
		"unlink without identifier":              ctl(etf.Tuple{opUnlinkID, 0, pid, ours}),
		"unlink with a negative identifier":      ctl(etf.Tuple{opUnlinkID, -1, pid, ours}),
		"unlink of another node":                 ctl(etf.Tuple{opUnlinkID, 7, other, ours}),
		"acknowledgement of another node":        ctl(etf.Tuple{opUnlinkIDAck, 7, other, ours}),
		"monitor by a pid of another node":       ctl(etf.Tuple{opMonitorP, other, ours, ref}),
		"monitor of a pid of another node":       ctl(etf.Tuple{opMonitorP, pid, other, ref}),
		"monitor of a number":                    ctl(etf.Tuple{opMonitorP, pid, 7, ref}),
		"demonitor by a pid of another node":     ctl(etf.Tuple{opDemonitorP, other, ours, ref}),
		"exit by a pid of another node":          ctl(etf.Tuple{opExit, other, ours, etf.Atom("x")}),
		"exit/2 by a pid of another node":        ctl(etf.Tuple{opExit2, other, ours, etf.Atom("x")}),
		"exit/2 to a pid of another node":        ctl(etf.Tuple{opExit2, pid, other, etf.Atom("x")}),
		"down of a pid of another node":          ctl(etf.Tuple{opMonitorPExit, other, ours, ref, etf.Atom("x")}),
		"down to a pid of another node":          ctl(etf.Tuple{opMonitorPExit, pid, other, ref, etf.Atom("x")}),
		"spawn request by a pid of another node": frame(append(ctl(etf.Tuple{opSpawnRequest, ref, other, pid, etf.Tuple{etf.Atom("m"), etf.Atom("f"), 0}, etf.List{}})[4:], 106)...),
		"spawn reply with a number":              ctl(etf.Tuple{opSpawnReply, ref, ours, 0, 7}),
		"group leader that is no pid":            ctl(etf.Tuple{opGroupLeader, 7, ours}),
		"altact of three elements":               ctl(etf.Tuple{opAltactSig, 0, pid}),
		"altact with negative flags":             frame(append(ctl(etf.Tuple{opAltactSig, -32, pid, ours})[4:], 106)...),
		"altact with huge negative flags":        frame(append(ctl(etf.Tuple{opAltactSig, new(big.Int).Lsh(big.NewInt(-1), 100), pid, ours})[4:], 106)...),
		"altact with flags that are no number":   frame(append(ctl(etf.Tuple{opAltactSig, etf.Atom("x"), pid, ours})[4:], 106)...),
		"altact by nobody":                       frame(append(ctl(etf.Tuple{opAltactSig, 0, etf.Atom("x"), ours})[4:], 106)...),
		"altact to an alias that is a pid":       frame(append(ctl(etf.Tuple{opAltactSig, altactAlias, pid, ours})[4:], 106)...),
		"altact to an alias that is a name":      frame(append(ctl(etf.Tuple{opAltactSig, altactAlias | altactName, pid, ref})[4:], 106)...),
		"altact to a name that is a pid":         frame(append(ctl(etf.Tuple{opAltactSig, altactName, pid, ours})[4:], 106)...),
		"altact to a pid that is a name":         frame(append(ctl(etf.Tuple{opAltactSig, 0, pid, etf.Atom("box")})[4:], 106)...),
		"altact without the token it promises":   frame(append(ctl(etf.Tuple{opAltactSig, altactToken, pid, ours})[4:], 106)...),
		"altact without payload":                 ctl(etf.Tuple{opAltactSig, altactName, pid, etf.Atom("box")}),
		"spawn of improper arguments":            frame(append(ctl(etf.Tuple{29, etf.Ref{Node: "beam@localhost", Creation: 7, Len: 3}, pid, pid, etf.Tuple{etf.Atom("m"), etf.Atom("f"), 1}, etf.List{}})[4:], 97, 1)...),
		"fragment of nothing":                    frame(append([]byte{131, 70}, make([]byte, 16)...)...),
		"fragment number zero":                   frame(append([]byte{131, 69}, make([]byte, 17)...)...),
		"cut fragment":                           frame(131, 69, 0),
		"pass-through without version":           frame(112, 104),
		"pass-through alone":                     frame(112),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, l, wire := pipeLink(t, nil)
			n.Spawn(&Mailbox{}).Register("box")
			wire.SetDeadline(time.Now().Add(20 * time.Second))
			go wire.Write(b) // the link may close before all is read
			select {
			case <-l.finished:
			case <-time.After(20 * time.Second):
				t.Fatal("the link lives on")
			}
			if !errors.Is(l.err, ErrProtocol) {
				t.Errorf("link ended with %v, want ErrProtocol", l.err)
			}
		})
	}
}

// Fragments are bounded in number and bytes.
func TestLink_FragmentLimits(t *testing.T) {
	t.Parallel()
	first := func(seq, left uint64, n int) []byte {
		b := binary.BigEndian.AppendUint64([]byte{131, 69}, seq)
		b = binary.BigEndian.AppendUint64(b, left)
		b = append(b, make([]byte, 1+n)...)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	next := func(seq, left uint64, n int) []byte {
		b := first(seq, left, n)
		b[5] = 70
		return b
	}
	for _, c := range []struct {
		reason string
		step   func(i uint64) []byte
	}{
		{"more than 20 fragmented messages", func(i uint64) []byte { return first(i, 2, 10) }},
		{"fragments of 420000 bytes in all", func(i uint64) []byte { return first(i%15, 2+i/15, 60000) }},
		{"fragments of more than 204800 bytes", func(i uint64) []byte {
			if i == 0 {
				return first(7, 100, 60000)
			}
			return next(7, 100-i, 60000)
		}},
		{"fragment 3 of sequence 7", func(i uint64) []byte {
			if i == 0 {
				return first(7, 5, 10)
			}
			return next(7, 3, 10)
		}},
		{"first fragment 5 of sequence 7", func(uint64) []byte { return first(7, 5, 10) }},
		{"fragment 5 of sequence 7", func(uint64) []byte { return next(7, 5, 10) }},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			_, l, wire := pipeLink(t, func(c *Config) { c.MaxFragments = 20; c.MaxMessageBytes = 200 << 10 })
			for i := range uint64(100) {
				if _, err := wire.Write(c.step(i)); err != nil {
					break
				}
			}
			<-l.finished
			if !errors.Is(l.err, ErrProtocol) || !strings.Contains(l.err.Error(), c.reason) {
				t.Errorf("link ended with %v", l.err)
			}
		})
	}
}

// Every goroutine of a node ends with Close, whatever is under way.
func TestNode_CloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // an EPMD that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	n, err := New(Config{Name: Name{"keeper", "localhost"}, Cookie: "x", EPMDAddr: silent.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	dialing := make(chan error, 1)
	go func() {
		_, err := n.Call(context.Background(), Name{"nobody", "localhost"}, "m", "f")
		dialing <- err
	}()
	half, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(n.Port()))) // a handshake that never goes on
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	f := &flowNode{Node: n}
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs)
	f.connect(t, ours, handshakeResult{peer: Name{"beam", "localhost"}, flags: flagsOurs, creation: 7})
	running := make(chan struct{})
	n.HandleFunc("m", "wait", 0, func(ctx context.Context, _ CallInfo, _ []etf.Term) (etf.Term, error) {
		close(running)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	l := n.linkUp(Name{"beam", "localhost"})
	e := l.encode(6, opSpawnRequest) // what the peer would send
	e.term(etf.Ref{Node: "beam@localhost", Creation: 7, Len: 3})
	e.term(beamPid)
	e.term(beamPid)
	e.term(etf.Tuple{etf.Atom("m"), etf.Atom("wait"), 0})
	e.term(etf.List{})
	e.payload(etf.List{})
	if _, err := theirs.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(e.b))), e.b...)); err != nil {
		t.Fatal(err)
	}
	<-running
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-dialing; !errors.Is(err, ErrNoConnection) {
		t.Errorf("Call under way = %v", err)
	}
	if err := n.Connect(t.Context(), Name{"b", "localhost"}); !errors.Is(err, ErrClosed) {
		t.Errorf("Connect after Close = %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	theirs.Close()
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("goroutines left:\n%s", buf[:runtime.Stack(buf, true)])
		}
	}
}

// countingRouter makes processes for what is asked of it.
type countingRouter struct {
	node *Node
	recv Receiver
}

func (r countingRouter) RoutePid(pid etf.Pid) *Process {
	if pid.ID != 77 {
		return nil
	}
	p, err := r.node.SpawnAs(uint64(pid.ID)|uint64(pid.Serial)<<32, r.recv)
	if err != nil {
		return nil
	}
	return p
}

func (r countingRouter) RouteName(name etf.Atom) *Process {
	if name != "routed" {
		return nil
	}
	p := r.node.Spawn(r.recv)
	p.Register(name)
	return p
}

// The router gives pids and names of its own to the node.
func TestRouter(t *testing.T) {
	t.Parallel()
	n, err := New(Config{Name: Name{"keeper", "localhost"}, Cookie: "x", Listen: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var box Mailbox
	n.SetRouter(countingRouter{n, &box})
	p := n.Spawn(&Mailbox{})
	pid := etf.Pid{Node: n.self, ID: 77, Serial: 3, Creation: n.creation}
	for _, to := range []Dest{ToPid(pid), ToPid(pid), ToName("routed", n.Name()), ToName("routed", Name{})} {
		if err := p.Send(t.Context(), to, etf.Atom("hi")); err != nil {
			t.Fatal(err)
		}
	}
	p.Send(t.Context(), ToPid(etf.Pid{Node: n.self, ID: 78, Creation: n.creation}), 1)
	p.Send(t.Context(), ToName("nobody", n.Name()), 1)
	stale := pid
	stale.Creation++
	p.Send(t.Context(), ToPid(stale), 1)
	if box.Len() != 4 {
		t.Errorf("%d messages, want 4", box.Len())
	}
	if got := n.Process(pid); got == nil || got.Pid() != pid {
		t.Errorf("Process(%v) = %v", pid, got)
	}
	if _, err := n.SpawnAs(uint64(pid.ID)|uint64(pid.Serial)<<32, &box); !errors.Is(err, ErrPidTaken) {
		t.Errorf("SpawnAs of a taken pid = %v", err)
	}
	if _, err := n.SpawnAs(1|ownSerial<<32, &box); !errors.Is(err, ErrPidTaken) {
		t.Errorf("SpawnAs of a reserved pid = %v", err)
	}
}

// Links, monitors, names and aliases between processes of one node work as between nodes.
func TestProcess_Local(t *testing.T) {
	t.Parallel()
	n, err := New(Config{Name: Name{"keeper", "localhost"}, Cookie: "x", Listen: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var box Mailbox
	a, b := n.Spawn(&box), n.Spawn(&Mailbox{})
	if err := b.Register("b"); err != nil {
		t.Fatal(err)
	}
	if err := a.Register("b"); !errors.Is(err, ErrNameTaken) {
		t.Errorf("Register of a taken name = %v", err)
	}
	a.Link(ctx, b.Pid())
	ref, _ := a.Monitor(ctx, ToName("b", Name{}))
	gone, _ := a.Monitor(ctx, ToPid(b.Pid()))
	a.Demonitor(gone)
	c := n.Spawn(&Mailbox{})
	a.Link(ctx, c.Pid())
	a.Unlink(c.Pid())
	c.Exit(etf.Atom("unseen"))
	b.Exit(etf.Atom("boom"))
	b.Exit(etf.Atom("twice"))
	var seen []string
	for range 2 {
		s, err := box.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch s := s.(type) {
		case Exit:
			seen = append(seen, fmt.Sprintf("exit %v %v %v", s.From == b.Pid(), s.Reason, s.Linked))
		case Down:
			seen = append(seen, fmt.Sprintf("down %v %v", s.Ref == ref, s.Reason))
		}
	}
	if got := strings.Join(seen, "; "); got != "exit true boom true; down true boom" {
		t.Errorf("signals: %s", got)
	}
	if n.Whereis("b") != nil || n.Process(b.Pid()) != nil {
		t.Error("an exited process is still known")
	}
	for _, f := range []func() error{
		func() error { return b.Send(ctx, ToPid(a.Pid()), 1) },
		func() error { return b.Link(ctx, a.Pid()) },
		func() error { return b.Register("x") },
		func() error { _, err := b.Monitor(ctx, ToPid(a.Pid())); return err },
	} {
		if err := f(); !errors.Is(err, ErrProcessExited) {
			t.Errorf("of an exited process: %v", err)
		}
	}
	a.Link(ctx, b.Pid())
	if s, _ := box.Next(ctx); s != Signal(Exit{From: b.Pid(), Reason: etf.Atom("noproc"), Linked: true}) {
		t.Errorf("link to an exited process: %+v", s)
	}
	if err := a.Send(ctx, Dest{}, 1); !errors.Is(err, ErrBadDest) {
		t.Errorf("Send to nobody = %v", err)
	}
	alias := a.Alias()
	a.Send(ctx, ToAlias(alias), etf.Atom("hi"))
	if s, _ := box.Next(ctx); s.(Message).Alias != alias {
		t.Errorf("by alias: %+v", s)
	}
	if !a.Unalias(alias) || a.Unalias(alias) {
		t.Error("Unalias: want true, then false")
	}
	a.Send(ctx, ToAlias(alias), etf.Atom("hi"))
	if box.Len() != 0 {
		t.Error("a message to an alias that was given up arrived")
	}
}

// References do not repeat, and pids do not while processes live.
func TestNode_Identifiers(t *testing.T) {
	t.Parallel()
	n, err := newNode(Config{Name: Name{"keeper", "localhost"}, Cookie: "x", Listen: "none"}, 7, [12]byte{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	seen := map[etf.Ref]bool{}
	for range 600_000 { // beyond the 18 bits of the first word, twice
		r := n.MakeRef()
		if seen[r] || r.Len != 3 || r.ID[0] >= 1<<18 {
			t.Fatalf("reference %+v", r)
		}
		seen[r] = true
	}
	kept := n.Spawn(&Mailbox{})
	n.procs.last = kept.key() & (1<<ownIDBits - 1) // as after all numbers were used once
	n.procs.last--
	if p := n.Spawn(&Mailbox{}); p.Pid() == kept.Pid() {
		t.Errorf("pid %v given twice", p.Pid())
	}
}
