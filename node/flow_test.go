package node

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// update records the flows in testdata anew, from the real OTPs that are installed.
var update = flag.Bool("update", false, "record the flows in testdata from real OTP")

// flow is a recorded exchange, kept as text:
//
//	# what it is
//	key: value
//	> bytes in hex that we sent
//	< bytes in hex that the BEAM sent
//	= what came of it, for flows of connected nodes
type flow struct {
	title  string
	fields map[string]string
	steps  []flowStep
}

type flowStep struct {
	kind byte // '>', '<' or '='
	data []byte
}

func readFlow(t testing.TB, file string) flow {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f := flow{fields: map[string]string{}}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		line := sc.Text()
		switch {
		case line == "":
		case line[0] == '#':
			f.title = strings.TrimSpace(line[1:])
		case line[0] == '=':
			f.steps = append(f.steps, flowStep{'=', []byte(strings.TrimSpace(line[1:]))})
		case line[0] == '>' || line[0] == '<':
			data, err := hex.DecodeString(strings.TrimSpace(line[1:]))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			f.steps = append(f.steps, flowStep{line[0], data})
		default:
			key, value, ok := strings.Cut(line, ": ")
			if !ok {
				t.Fatalf("%s: %q", file, line)
			}
			f.fields[key] = value
		}
	}
	return f
}

func (f flow) write(t testing.TB, file string, order ...string) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n", f.title)
	for _, key := range order {
		fmt.Fprintf(&b, "%s: %s\n", key, f.fields[key])
	}
	for _, s := range f.steps {
		if s.kind == '=' {
			fmt.Fprintf(&b, "= %s\n", s.data)
		} else {
			fmt.Fprintf(&b, "%c %x\n", s.kind, s.data)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// flowFiles lists the recorded flows of a folder of testdata.
func flowFiles(t testing.TB, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", folder, "*.flow"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no flows in testdata/%s", folder)
	}
	return files
}

// recordingConn notes what passes through a connection.
type recordingConn struct {
	net.Conn
	mu    sync.Mutex
	steps []flowStep
}

func (c *recordingConn) note(kind byte, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.steps); n > 0 && c.steps[n-1].kind == kind {
		c.steps[n-1].data = append(c.steps[n-1].data, b...)
		return
	}
	c.steps = append(c.steps, flowStep{kind, append([]byte(nil), b...)})
}

func (c *recordingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.note('<', b[:n])
	}
	return n, err
}

func (c *recordingConn) Write(b []byte) (int, error) {
	c.note('>', b)
	return c.Conn.Write(b)
}

// replay plays the BEAM's part of a flow: it gives its bytes once ours have come, and checks ours.
type replay struct {
	t     testing.TB
	steps []flowStep
}

func (r *replay) Read(b []byte) (int, error) {
	if len(r.steps) == 0 {
		return 0, io.EOF
	}
	s := &r.steps[0]
	if s.kind != '<' {
		r.t.Errorf("read before %x was sent", s.data)
		return 0, io.EOF
	}
	n := copy(b, s.data)
	if s.data = s.data[n:]; len(s.data) == 0 {
		r.steps = r.steps[1:]
	}
	return n, nil
}

func (r *replay) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		if len(r.steps) == 0 || r.steps[0].kind != '>' {
			r.t.Errorf("sent %x, the recording has nothing there", rest)
			return 0, io.ErrClosedPipe
		}
		s := &r.steps[0]
		n := min(len(rest), len(s.data))
		if !bytes.Equal(rest[:n], s.data[:n]) {
			r.t.Errorf("sent %x, recorded %x", rest[:n], s.data[:n])
		}
		rest = rest[n:]
		if s.data = s.data[n:]; len(s.data) == 0 {
			r.steps = r.steps[1:]
		}
	}
	return len(b), nil
}
