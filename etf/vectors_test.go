package etf

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vector is one line of testdata/etf. See testdata/gen/etf_vectors.erl for the fields.
type vector struct {
	file string
	line int
	kind string // write, accept, reject
	otp  string
	opts string // of write
	text string
	in   []byte
	out  []byte // what OTP writes
}

func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("../testdata/etf/otp*.txt")
	if err != nil || len(files) < 3 {
		t.Fatalf("want the vectors of three OTPs or more, have %v, %v", files, err)
	}
	var all []vector
	for _, file := range files {
		all = append(all, readVectors(t, file)...)
	}
	return all
}

func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return b
	}
	var all []vector
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		v := vector{file: filepath.Base(file), line: n}
		fields := strings.Split(lines.Text(), "\t")
		v.kind = fields[0]
		switch {
		case strings.HasPrefix(v.kind, "#"):
			continue
		case v.kind == "write" && len(fields) == 5:
			v.otp, v.opts, v.text, v.in = fields[1], fields[2], fields[3], unhex(fields[4])
			v.out = v.in
		case v.kind == "accept" && len(fields) == 5:
			v.otp, v.in, v.text, v.out = fields[1], unhex(fields[2]), fields[3], unhex(fields[4])
		case v.kind == "reject" && len(fields) == 3:
			v.otp, v.in = fields[1], unhex(fields[2])
		default:
			t.Fatalf("%s:%d: cannot read %.80q", file, n, lines.Text())
		}
		all = append(all, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// encoder writes as the OTP and the options of the vector do.
func (v vector) encoder() *Encoder {
	old, text := v.otp < "26", strings.Contains(v.opts, "{minor_version,0}")
	return &Encoder{
		LegacyAtoms: old && !strings.Contains(v.opts, "{minor_version,2}") || text,
		LegacyPorts: old,
		TextFloats:  text,
	}
}

func TestVectors_ReadAndWrittenBack(t *testing.T) {
	for _, v := range vectors(t) {
		if v.kind == "reject" {
			continue
		}
		term, err := Decode(v.in)
		if err != nil {
			t.Errorf("%s:%d: Decode(%.80x) of %.80s: %v", v.file, v.line, v.in, v.text, err)
			continue
		}
		want := v.out
		if want[1] == tagCompressed { // we do not pack again
			if back := mustDecode(t, want); !Equal(term, back) {
				t.Errorf("%s:%d: two readings differ", v.file, v.line)
			}
			continue
		}
		got, err := v.encoder().Append(nil, term)
		if err != nil {
			t.Errorf("%s:%d: Append(%.80s): %v", v.file, v.line, v.text, err)
			continue
		}
		if v.kind == "write" && !bytes.Equal(got, want) {
			t.Errorf("%s:%d: %.80s was written back as %.80x, want %.80x", v.file, v.line, v.text, got, want)
		}
		canonical := mustDecode(t, want)
		if !Equal(term, canonical) || Compare(term, canonical) != 0 {
			t.Errorf("%s:%d: Decode(%.80x) = %.80v, want %.80v", v.file, v.line, v.in, term, canonical)
		}
	}
}

func mustDecode(t testing.TB, b []byte) Term {
	t.Helper()
	term, err := Decode(b)
	if err != nil {
		t.Fatalf("Decode(%.80x): %v", b, err)
	}
	return term
}

func TestVectors_RejectedAsOTPDoes(t *testing.T) {
	for _, v := range vectors(t) {
		if v.kind != "reject" {
			continue
		}
		if term, err := Decode(v.in); err == nil && !weAcceptMore(v.in) {
			t.Errorf("%s:%d: Decode(%x) = %v, want an error as from OTP %s", v.file, v.line, v.in, term, v.otp)
		}
	}
}

// weAcceptMore names what one OTP refuses and another accepts, and LOCAL_EXT, which only its creator can check.
func weAcceptMore(b []byte) bool {
	return len(b) > 1 && b[1] == tagLocal || bytes.Equal(b, []byte{Version, tagBitBinary, 0, 0, 0, 0, 0})
}

func TestVectors_EveryPrefixIsTruncated(t *testing.T) {
	for _, v := range vectors(t) {
		if v.kind != "write" {
			continue
		}
		for n := range len(v.in) {
			if n > 200 && n < len(v.in)-200 && n%997 != 0 {
				continue // the middle of the long ones is all the same
			}
			if _, err := Decode(v.in[:n:n]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%s:%d: Decode of %d of %d bytes of %.80s: %v, want ErrTruncated", v.file, v.line, n, len(v.in), v.text, err)
			}
			if v.in[1] == tagCompressed || n == 0 {
				continue
			}
			if _, err := skip(v.in[:n:n], 1); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%s:%d: skip of %d of %d bytes of %.80s: %v, want ErrTruncated", v.file, v.line, n, len(v.in), v.text, err)
			}
		}
		if _, err := Decode(append(bytes.Clone(v.in), 0)); !errors.Is(err, ErrTrailing) {
			t.Fatalf("%s:%d: Decode of %.80s and one byte: %v, want ErrTrailing", v.file, v.line, v.text, err)
		}
		if v.in[1] != tagCompressed {
			if end, err := skip(v.in, 1); end != len(v.in) || err != nil {
				t.Errorf("%s:%d: skip of %.80s: %d, %v, want %d", v.file, v.line, v.text, end, err, len(v.in))
			}
		}
	}
}
