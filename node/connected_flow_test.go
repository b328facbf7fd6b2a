package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// connectedFlows are what a BEAM does to a node of ours, which has the processes echo (answers calls) and box, and the
// functions calc:add/2 and our:pid/0 (that of box).
var connectedFlows = []struct{ name, expr string }{
	{"ping", `pong = net_adm:ping(keeper@localhost)`},
	{"calls", `hi = gen_server:call({echo, keeper@localhost}, hi), gen_server:cast({box, keeper@localhost}, you),
		{'EXIT', {noproc, _}} = (catch gen_server:call({nobody, keeper@localhost}, hi)), hi = gen_server:call({echo, keeper@localhost}, hi)`},
	{"rpc", `3 = rpc:call(keeper@localhost, calc, add, [1, 2]), 7 = erpc:call(keeper@localhost, calc, add, [3, 4]),
		{badrpc, {'EXIT', {undef, _}}} = rpc:call(keeper@localhost, no, fn, [1]), 5 = rpc:block_call(keeper@localhost, calc, add, [2, 3]),
		{badrpc, {'EXIT', {undef, _}}} = rpc:block_call(keeper@localhost, no, fn, [1]), true = rpc:cast(keeper@localhost, calc, add, [1, 1])`},
	{"links", `process_flag(trap_exit, true), P = erpc:call(keeper@localhost, our, pid, []), link(P), unlink(P), link(P),
		Q = spawn(fun() -> link(P), exit({bye, 1}) end), M = monitor(process, Q), receive {'DOWN', M, process, Q, _} -> ok end,
		exit(P, gently), D = spawn_link(keeper@localhost, calc, add, [1, 2]), receive {'EXIT', D, normal} -> ok end,
		link(D), receive {'EXIT', D, noproc} -> ok end, unlink(P), pong = net_adm:ping(keeper@localhost)`},
	{"monitors", `P = erpc:call(keeper@localhost, our, pid, []), R1 = monitor(process, P), R2 = monitor(process, {box, keeper@localhost}),
		R3 = monitor(process, {nobody, keeper@localhost}), receive {'DOWN', R3, process, _, noproc} -> ok end,
		demonitor(R1), demonitor(R2), {D, R4} = spawn_monitor(keeper@localhost, no, fn, []), receive {'DOWN', R4, process, D, {undef, _}} -> ok end,
		pong = net_adm:ping(keeper@localhost)`},
	{"fragments", `B = binary:copy(<<0>>, 66000), {box, keeper@localhost} ! {a, B}, F = fun(X) -> fun() -> {box, keeper@localhost} ! {X, B, X} end end,
		[begin {_, M} = spawn_monitor(F(X)), receive {'DOWN', M, _, _, _} -> ok end end || X <- [b, 'ä']],
		{box, keeper@localhost} ! small, pong = net_adm:ping(keeper@localhost)`},
	{"atoms", `[{box, keeper@localhost} ! [list_to_atom("atom_" ++ integer_to_list(I * J)) || I <- lists:seq(1, 40)] || J <- lists:seq(1, 8)],
		{box, keeper@localhost} ! [list_to_atom("many_" ++ integer_to_list(I)) || I <- lists:seq(1, 300)],
		{box, keeper@localhost} ! list_to_atom(lists:duplicate(255, 1071)), {box, keeper@localhost} ! {'', 'é', true}, pong = net_adm:ping(keeper@localhost)`},
	{"terms", `{box, keeper@localhost} ! {1.5, -1, 1 bsl 70, <<5:3>>, [1 | 2], #{a => [], <<"b">> => #{}, [1] => {}}, fun lists:map/2, "abc", make_ref(), self()},
		A = alias(), {box, keeper@localhost} ! A, pong = net_adm:ping(keeper@localhost)`},
}

// flowNode is the node that connected flows are recorded with and replayed to.
type flowNode struct {
	*Node
	mu      sync.Mutex
	signals []string
}

func newFlowNode(t *testing.T) *flowNode {
	n, err := newNode(Config{
		Name: Name{Alive: "keeper", Host: "localhost"}, Cookie: flowCookie, Listen: listenNone, NetTickTime: time.Hour,
	}, flowCreation, [12]byte{})
	if err != nil {
		t.Fatal(err)
	}
	f := &flowNode{Node: n}
	echo := n.Spawn(ReceiverFunc(func(p *Process, s Signal) {
		if m, ok := s.(Message); ok {
			if call, ok := ParseGenCall(m.Term); ok {
				p.Reply(context.Background(), call, call.Request)
			}
		}
	}))
	box := n.Spawn(ReceiverFunc(func(_ *Process, s Signal) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.signals) < 1000 {
			f.signals = append(f.signals, signalText(s))
		}
	}))
	echo.Register("echo")
	box.Register("box")
	n.HandleFunc("calc", "add", 2, func(_ context.Context, _ CallInfo, args []etf.Term) (etf.Term, error) {
		return args[0].(int64) + args[1].(int64), nil
	})
	n.HandleFunc("our", "pid", 0, func(context.Context, CallInfo, []etf.Term) (etf.Term, error) { return box.Pid(), nil })
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return f
}

// connect makes a link of a connection whose handshake is done.
func (f *flowNode) connect(t *testing.T, conn net.Conn, res handshakeResult) *link {
	a := &attempt{cancel: func(error) {}}
	f.Node.mu.Lock()
	f.peerOf(res.peer).accept = a
	f.Node.mu.Unlock()
	l := f.newLink(conn, res, true)
	if err := f.adopt(l, a); err != nil {
		t.Fatal(err)
	}
	return l
}

func (f *flowNode) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.signals)
}

func signalText(s Signal) string {
	switch s := s.(type) {
	case Message:
		return short(fmt.Sprintf("message from %s to %q %v: %s", etf.Format(s.From), s.Name, s.Alias.Len, etf.Format(s.Term)))
	case Exit:
		return short(fmt.Sprintf("exit from %s linked %v killed %v: %s", etf.Format(s.From), s.Linked, s.Killed, etf.Format(s.Reason)))
	case Down:
		return short(fmt.Sprintf("down %s: %s", etf.Format(s.Ref), etf.Format(s.Reason)))
	}
	return fmt.Sprintf("%T", s)
}

// short cuts a long text and adds its digest.
func short(s string) string {
	if len(s) < 400 {
		return s
	}
	return fmt.Sprintf("%s... %d bytes, sha256 %x", strings.ToValidUTF8(s[:100], ""), len(s), sha256.Sum256([]byte(s)))
}

// sentText reads what a node of ours sent, which has no cached atoms and, here, no fragments.
func sentText(t *testing.T, b []byte) (lines []string, rest []byte) {
	t.Helper()
	d := etf.NewDecoder(etf.Limits{})
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint32(b))
		if len(b) < 4+n {
			break
		}
		frame := b[4 : 4+n]
		b = b[4+n:]
		if n == 0 {
			continue
		}
		if len(frame) < 3 || frame[0] != versionMagic || frame[1] != tagDistHeader || frame[2] != 0 {
			t.Fatalf("sent %x", frame)
		}
		ctl, payload, err := d.DecodeTerm(frame[3:])
		if err != nil {
			t.Fatal(err)
		}
		line := etf.Format(ctl)
		if len(payload) > 0 {
			msg, left, err := d.DecodeTerm(payload)
			if err != nil || len(left) > 0 {
				t.Fatalf("payload %x: %v", payload, err)
			}
			line += " | " + etf.Format(msg)
		}
		lines = append(lines, short(line))
	}
	return lines, b
}

// What real OTP sent has the same effects again: the same signals, and the same answers.
func TestConnected_RecordedFlows(t *testing.T) {
	t.Parallel()
	for _, file := range flowFiles(t, "flows") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".flow"), func(t *testing.T) {
			t.Parallel()
			f := readFlow(t, file)
			replayConnected(t, f, func(in []byte) [][]byte { return [][]byte{in} })
		})
	}
}

// The pieces in which bytes arrive make no difference.
func TestConnected_RecordedFlowsByteByByte(t *testing.T) {
	t.Parallel()
	for _, file := range flowFiles(t, "flows") {
		if strings.Contains(file, "fragments") {
			continue // long, and the shorter ones show it
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".flow"), func(t *testing.T) {
			t.Parallel()
			replayConnected(t, readFlow(t, file), func(in []byte) [][]byte {
				var pieces [][]byte
				for i := range in {
					pieces = append(pieces, in[i:i+1])
				}
				return pieces
			})
		})
	}
}

func replayConnected(t *testing.T, f flow, cut func([]byte) [][]byte) {
	n := newFlowNode(t)
	peer, _ := ParseName(f.fields["peer"])
	flags, _ := strconv.ParseUint(f.fields["flags"], 0, 64)
	creation, _ := strconv.ParseUint(f.fields["creation"], 0, 32)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	n.connect(t, ours, handshakeResult{peer: peer, flags: Flags(flags), creation: uint32(creation)})
	theirs.SetDeadline(time.Now().Add(20 * time.Second))
	sentLines := make(chan string, 1000)
	go func() { // ends with the connection
		defer close(sentLines)
		var rest []byte
		buf := make([]byte, 64<<10)
		for {
			got, err := theirs.Read(buf)
			if err != nil {
				return
			}
			var lines []string
			lines, rest = sentText(t, append(rest, buf[:got]...))
			for _, line := range lines {
				sentLines <- line
			}
		}
	}()
	var sent, wantSent, wantSignals []string
	for _, s := range f.steps {
		text := string(s.data)
		switch {
		case s.kind == '<':
			for _, piece := range cut(s.data) {
				if _, err := theirs.Write(piece); err != nil {
					t.Fatalf("the link closed early: %v", err)
				}
			}
		case strings.HasPrefix(text, "signal "):
			wantSignals = append(wantSignals, strings.TrimPrefix(text, "signal "))
		case strings.HasPrefix(text, "sent "):
			wantSent = append(wantSent, strings.TrimPrefix(text, "sent "))
			line, ok := <-sentLines
			if !ok {
				t.Fatalf("not sent: %s", text)
			}
			sent = append(sent, line)
		}
	}
	for end := time.Now().Add(20 * time.Second); len(n.seen()) < len(wantSignals) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	compareLines(t, "signal", n.seen(), wantSignals)
	slices.Sort(sent) // functions run side by side with the reader
	slices.Sort(wantSent)
	compareLines(t, "sent", sent, wantSent)
}

func compareLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("%s %d\n got %s\nwant %s", what, i, g, w)
			return
		}
	}
}

// TestConnected_Record records testdata/flows with -update.
func TestConnected_Record(t *testing.T) {
	if !*update {
		t.Skip("records with -update")
	}
	for _, otp := range nodetest.Want(t, "23", "25", "27", "29") {
		for _, c := range connectedFlows {
			if otp.Release == "23" {
				c.expr = strings.Replace(c.expr, "A = alias()", "A = make_ref()", 1)
			}
			t.Run(otp.Release+"_"+c.name, func(t *testing.T) {
				port := nodetest.StartEPMD(t)
				e := nodetest.StartErl(t, otp, "beam", flowCookie, port)
				f := flow{title: "OTP " + otp.Release + ": " + strings.Join(strings.Fields(c.expr), " "), fields: map[string]string{
					"side": "connect", "self": "keeper@localhost", "peer": "beam@localhost", "cookie": flowCookie,
					"flags": fmt.Sprintf("%#x", uint64(flagsOurs)),
				}}
				conn := dialBEAM(t, e, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
				res, err := shake(f, conn)
				if err != nil {
					t.Fatal(err)
				}
				n := newFlowNode(t)
				rec := &recordingConn{Conn: conn}
				n.connect(t, rec, res)
				e.Eval(c.expr)
				time.Sleep(200 * time.Millisecond) // the rest of what is under way; this only records
				rec.mu.Lock()
				defer rec.mu.Unlock()
				var in, out []byte
				for _, s := range rec.steps { // one frame a line, in the order in which they came to pass
					if s.kind == '<' {
						in = append(in, s.data...)
						for len(in) >= 4 && len(in) >= 4+int(binary.BigEndian.Uint32(in)) {
							end := 4 + int(binary.BigEndian.Uint32(in))
							f.steps = append(f.steps, flowStep{'<', in[:end]})
							in = in[end:]
						}
						continue
					}
					var sent []string
					sent, out = sentText(t, append(out, s.data...))
					for _, s := range sent {
						f.steps = append(f.steps, flowStep{'=', []byte("sent " + s)})
					}
				}
				for _, s := range n.seen() {
					f.steps = append(f.steps, flowStep{'=', []byte("signal " + s)})
				}
				f.fields["flags"] = fmt.Sprintf("%#x", uint64(res.flags))
				f.fields["creation"] = fmt.Sprint(res.creation)
				f.write(t, filepath.Join("..", "testdata", "flows", "otp"+otp.Release+"_"+c.name+".flow"), "peer", "flags", "creation")
			})
		}
	}
}
