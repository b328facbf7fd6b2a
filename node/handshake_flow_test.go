package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// What the recorded handshakes say on our side.
const (
	flowCookie    = "sesame"
	flowChallenge = 0x01020304
	flowCreation  = 0x0a0b0c0d
)

// outcomes are the words for the results of a handshake in the files.
var outcomes = map[string]error{
	"ok": nil, "bad_cookie": ErrBadCookie, "not_allowed": ErrNotAllowed, "duplicate": ErrDuplicate, "flags": ErrFlags,
	"peer_name": ErrPeerName, "closed": io.EOF,
}

func outcomeOf(t testing.TB, err error) string {
	t.Helper()
	for word, want := range outcomes {
		if (want == nil && err == nil) || (want != nil && errors.Is(err, want)) {
			return word
		}
	}
	if closedByPeer(err) {
		return "closed"
	}
	t.Fatalf("no word for the outcome %v", err)
	return ""
}

func flowHandshaker(f flow) *handshaker {
	self, _ := ParseName(f.fields["self"])
	flags, _ := strconv.ParseUint(f.fields["flags"], 0, 64)
	return &handshaker{
		header: 2, self: self, flags: Flags(flags), creation: flowCreation,
		cookie:    func(Name) Cookie { return Cookie(f.fields["cookie"]) },
		verify:    func(Name) error { return nil },
		challenge: func() uint32 { return flowChallenge },
	}
}

// shake runs our side of a flow.
func shake(f flow, rw io.ReadWriter) (handshakeResult, error) {
	h := flowHandshaker(f)
	if f.fields["side"] == "connect" {
		peer, _ := ParseName(f.fields["peer"])
		return h.connect(rw, peer, func() bool { return f.fields["alive"] != "false" })
	}
	return h.accept(rw, func(peer Name, flags Flags) verdict {
		v := verdict{status: f.fields["status"]}
		switch v.status {
		case statusNamed:
			v.name, v.creation = Name{Alive: "given", Host: peer.Host}, 77
		case statusNok:
			v.err = ErrDuplicate
		case statusNotAllowed:
			v.err = ErrNotAllowed
		}
		return v
	})
}

var handshakeFields = []string{"side", "self", "peer", "cookie", "flags", "alive", "status", "outcome"}

// Every handshake that was recorded from real OTP goes the same way again, byte for byte.
func TestHandshake_RecordedFlows(t *testing.T) {
	t.Parallel()
	for _, file := range flowFiles(t, "handshake") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".flow"), func(t *testing.T) {
			t.Parallel()
			f := readFlow(t, file)
			r := &replay{t: t, steps: f.steps}
			res, err := shake(f, r)
			if got := outcomeOf(t, err); got != f.fields["outcome"] {
				t.Errorf("outcome %s (%v), recorded %s", got, err, f.fields["outcome"])
			}
			if len(r.steps) > 0 {
				t.Errorf("%d steps not taken, next %c %x", len(r.steps), r.steps[0].kind, r.steps[0].data)
			}
			if err == nil {
				want := f.fields["peer"]
				if f.fields["status"] == statusNamed {
					want = "given@localhost"
				}
				flags := flagsMandatory | FlagSpawn
				switch otp := filepath.Base(file)[:5]; otp {
				case "otp23":
				case "otp29":
					flags |= FlagV4NC | FlagAlias | FlagAltactSig
				default:
					flags |= FlagV4NC | FlagAlias
				}
				if res.peer.String() != want || res.creation == 0 || res.flags&(flags|FlagV4NC|FlagAlias|FlagAltactSig|FlagNativeRecords) != flags {
					t.Errorf("result %+v", res)
				}
			}
			var he *HandshakeError
			if err != nil && (!errors.As(err, &he) || he.Phase == "") {
				t.Errorf("%v is not a *HandshakeError", err)
			}
		})
	}
}

// A handshake cut short anywhere is an error, and one with a byte changed anywhere does not panic.
func TestHandshake_CutAndChanged(t *testing.T) {
	t.Parallel()
	for _, file := range flowFiles(t, "handshake") {
		f := readFlow(t, file)
		var in []byte
		for _, s := range f.steps {
			if s.kind == '<' {
				in = append(in, s.data...)
			}
		}
		run := func(in []byte) error {
			_, err := shake(f, struct {
				io.Reader
				io.Writer
			}{strings.NewReader(string(in)), io.Discard})
			return err
		}
		for i := range in {
			if err := run(in[:i]); err == nil {
				t.Errorf("%s: %d of %d bytes: no error", file, i, len(in))
			}
			changed := append([]byte(nil), in...)
			changed[i] ^= 0x41
			run(changed)
		}
	}
}

// TestHandshake_Record records testdata/handshake with -update.
func TestHandshake_Record(t *testing.T) {
	if !*update {
		t.Skip("records with -update")
	}
	for _, otp := range nodetest.Want(t, "23", "25", "27", "29") {
		recordConnect(t, otp)
		recordAccept(t, otp)
	}
}

func recordConnect(t *testing.T, otp nodetest.OTP) {
	plain := func(*testing.T, *nodetest.Erl, flow, string) {}
	// pending has the BEAM wait for an answer of the name that we will connect with.
	pending := func(t *testing.T, e *nodetest.Erl, f flow, epmd string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		self, _ := ParseName(f.fields["self"])
		register(t, epmd, self.Alive, l.Addr().(*net.TCPAddr).Port)
		e.Eval("spawn(fun() -> net_adm:ping('" + f.fields["self"] + "') end)")
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := readFrame(c, 2); err != nil { // its name: it waits for our status now
			t.Fatal(err)
		}
	}
	connected := func(t *testing.T, e *nodetest.Erl, f flow, epmd string) {
		c := dialBEAM(t, e, epmd)
		t.Cleanup(func() { c.Close() })
		if _, err := shake(f, c); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); e.Eval("nodes(hidden)") == "[]"; {
			if time.Now().After(end) {
				t.Fatal("the first link is not up")
			}
		}
	}
	ours := fmt.Sprintf("%#x", uint64(flagsOurs))
	without := func(x Flags) string { return fmt.Sprintf("%#x", uint64(flagsOurs&^x&^FlagMandatory25)) }
	missing := FlagUnlinkID
	if otp.Release == "23" || otp.Release == "25" {
		missing = FlagExtendedRefs
	}
	for _, c := range []struct {
		name    string
		set     map[string]string
		prepare func(*testing.T, *nodetest.Erl, flow, string)
	}{
		{"connect", nil, plain},
		{"connect_bad_cookie", map[string]string{"cookie": "wrong"}, plain},
		{"connect_missing_flag", map[string]string{"flags": without(missing)}, plain},
		{"connect_not_allowed", nil, func(t *testing.T, e *nodetest.Erl, _ flow, _ string) { e.Eval("net_kernel:allow([other@localhost])") }},
		{"connect_other_name", map[string]string{"peer": "other@localhost"}, plain},
		{"connect_alive", nil, connected},
		{"connect_alive_false", map[string]string{"alive": "false"}, connected},
		{"connect_nok", map[string]string{"self": "aaa@localhost"}, pending},
		{"connect_ok_simultaneous", map[string]string{"self": "zzz@localhost"}, pending},
	} {
		t.Run(otp.Release+"_"+c.name, func(t *testing.T) {
			port := nodetest.StartEPMD(t)
			epmd := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
			e := nodetest.StartErl(t, otp, "mmm", flowCookie, port)
			f := flow{title: "OTP " + otp.Release + ", " + c.name, fields: map[string]string{
				"side": "connect", "self": "keeper@localhost", "peer": "mmm@localhost", "cookie": flowCookie, "flags": ours, "alive": "true", "status": "-",
			}}
			for k, v := range c.set {
				f.fields[k] = v
			}
			c.prepare(t, e, f, epmd)
			saveHandshake(t, otp, c.name, f, dialBEAM(t, e, epmd))
		})
	}
}

func recordAccept(t *testing.T, otp nodetest.OTP) {
	for _, c := range []struct {
		name string
		set  map[string]string
	}{
		{"accept", nil},
		{"accept_bad_cookie", map[string]string{"cookie": "wrong"}},
		{"accept_not_allowed", map[string]string{"status": statusNotAllowed}},
		{"accept_nok", map[string]string{"status": statusNok}},
		{"accept_ok_simultaneous", map[string]string{"status": statusOKSimultaneous}},
		{"accept_alive", map[string]string{"status": statusAlive}},
		{"accept_named", map[string]string{"status": statusNamed, "peer": "undefined@localhost"}},
	} {
		if otp.Release == "23" && c.name == "accept_named" {
			continue // asks for no name
		}
		t.Run(otp.Release+"_"+c.name, func(t *testing.T) {
			port := nodetest.StartEPMD(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			register(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "keeper", l.Addr().(*net.TCPAddr).Port)
			f := flow{title: "OTP " + otp.Release + ", " + c.name, fields: map[string]string{
				"side": "accept", "self": "keeper@localhost", "peer": "mmm@localhost", "cookie": flowCookie,
				"flags": fmt.Sprintf("%#x", uint64(flagsOurs)), "alive": "-", "status": statusOK,
			}}
			for k, v := range c.set {
				f.fields[k] = v
			}
			e := nodetest.StartErl(t, otp, f.fields["peer"], flowCookie, port)
			e.Eval("spawn(fun() -> net_kernel:connect_node(keeper@localhost) end)")
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			saveHandshake(t, otp, c.name, f, conn)
		})
	}
}

func saveHandshake(t *testing.T, otp nodetest.OTP, name string, f flow, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	rec := &recordingConn{Conn: conn}
	_, err := shake(f, rec)
	f.fields["outcome"] = outcomeOf(t, err)
	f.steps = rec.steps
	t.Logf("%v", err)
	f.write(t, filepath.Join("..", "testdata", "handshake", "otp"+otp.Release+"_"+name+".flow"), handshakeFields...)
}

// register makes a name known to an EPMD for the time of the test.
func register(t *testing.T, epmd, alive string, port int) {
	t.Helper()
	c, err := net.Dial("tcp", epmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write((&alive2Req{port: uint16(port), hidden: true, name: alive}).append(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := readAlive2Resp(c); err != nil {
		t.Fatal(err)
	}
}

func dialBEAM(t *testing.T, e *nodetest.Erl, epmd string) net.Conn {
	t.Helper()
	client := &EPMDClient{Addr: epmd, Self: "localhost"}
	peer, _ := ParseName(e.Name)
	at, err := client.PortPlease(t.Context(), peer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
