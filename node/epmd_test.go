package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// epmdQuestions are the exchanges recorded in testdata/epmd, with an EPMD that knows the node beam on port 40000.
var epmdQuestions = []struct {
	name string
	req  []byte
	read func(io.Reader) (any, error)
	want any
	err  error
}{
	{"alive2", (&alive2Req{port: 4711, hidden: true, name: "keeper"}).append(nil), func(r io.Reader) (any, error) {
		creation, err := readAlive2Resp(r)
		return creation != 0, err
	}, true, nil},
	{"alive2_taken", (&alive2Req{port: 4711, name: "beam"}).append(nil), func(r io.Reader) (any, error) {
		_, err := readAlive2Resp(r)
		return nil, err
	}, nil, ErrNameTaken},
	{"port_please2", appendPortPlease2Req(nil, "beam"), func(r io.Reader) (any, error) { return readPort2Resp(r) },
		EPMDNode{Alive: "beam", Port: 40000, Hidden: true, Low: 6, High: 6}, nil},
	{"port_please2_unknown", appendPortPlease2Req(nil, "nobody"), func(r io.Reader) (any, error) { return readPort2Resp(r) },
		EPMDNode{}, ErrNameUnknown},
}

func epmdFlow(name string) string { return filepath.Join("..", "testdata", "epmd", name+".flow") }

func TestEPMD_RecordedFlows(t *testing.T) {
	t.Parallel()
	for _, q := range epmdQuestions {
		f := readFlow(t, epmdFlow(q.name))
		if !bytes.Equal(q.req, f.steps[0].data) {
			t.Errorf("%s: request %x, recorded %x", q.name, q.req, f.steps[0].data)
		}
		answer := f.steps[1].data
		got, err := q.read(iotest.OneByteReader(bytes.NewReader(answer))) // the answer may come in pieces
		if !errors.Is(err, q.err) || (err == nil && got != q.want) {
			t.Errorf("%s: %+v, %v; want %+v, %v", q.name, got, err, q.want, q.err)
		}
		if q.err != nil {
			continue
		}
		for i := range answer {
			// What follows the name in PORT2_RESP is not waited for.
			if _, err := q.read(bytes.NewReader(answer[:i])); err == nil {
				t.Errorf("%s: no error for %d of %d bytes", q.name, i, len(answer))
			}
		}
	}
	names := readFlow(t, epmdFlow("names"))
	nodes, err := readNamesResp(iotest.HalfReader(bytes.NewReader(names.steps[1].data)))
	if err != nil || len(nodes) != 1 || nodes[0].Alive != "beam" || nodes[0].Port != 40000 {
		t.Errorf("names: %+v, %v", nodes, err)
	}
	if got := appendNamesReq(nil); !bytes.Equal(got, names.steps[0].data) {
		t.Errorf("names request %x", got)
	}
}

func TestEPMD_Record(t *testing.T) {
	if !*update {
		t.Skip("records with -update")
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(nodetest.StartEPMD(t)))
	register(t, addr, "beam", 40000)
	record := func(name string, req []byte) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		rec := &recordingConn{Conn: c}
		rec.Write(req)
		c.SetReadDeadline(time.Now().Add(time.Second))
		io.Copy(io.Discard, rec)
		flow{title: "epmd: " + name, steps: rec.steps}.write(t, epmdFlow(name))
	}
	for _, q := range epmdQuestions {
		if q.name != "alive2" {
			record(q.name, q.req)
		}
	}
	record("names", appendNamesReq(nil))
	record("alive2", epmdQuestions[0].req)
}

func TestEPMD_OldAliveAnswer(t *testing.T) {
	t.Parallel()
	if c, err := readAlive2Resp(bytes.NewReader([]byte{121, 0, 0, 3})); c != 3 || err != nil {
		t.Errorf("ALIVE2_RESP = %d, %v", c, err)
	}
	if _, err := readAlive2Resp(bytes.NewReader([]byte{99, 0, 0, 3})); err == nil {
		t.Error("unknown answer: no error")
	}
}

// A node that speaks only version 5 is refused with a reason.
func TestEPMD_OldNode(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		readFrame(c, 2)
		c.Write([]byte{119, 0, 0x9c, 0x40, 77, 0, 0, 5, 0, 5, 0, 3, 'o', 'l', 'd', 0, 0})
	}()
	client := &EPMDClient{Addr: l.Addr().String(), Self: "h"}
	var epmd *EPMDError
	if _, err := client.PortPlease(t.Context(), Name{Alive: "old", Host: "h"}); !errors.Is(err, ErrVersion) || !errors.As(err, &epmd) {
		t.Errorf("PortPlease = %v", err)
	}
}

// An EPMD that accepts and says nothing does not hold us for ever.
func TestEPMD_Silent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client := &EPMDClient{Addr: l.Addr().String()}
	if _, err := client.Names(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Names = %v", err)
	}
}

func TestEPMD_NamesRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "abc", "\x00\x00\x11\x11name x at port 70000\n", "\x00\x00\x11\x11hello\n", "\x00\x00\x11\x11" + strings.Repeat("x", maxNamesBytes)} {
		if _, err := readNamesResp(strings.NewReader(text)); err == nil {
			t.Errorf("no error for %.20q", text)
		}
	}
}
