package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Module is what a .beam file tells about a module.
type Module struct {
	Name       string   `json:"name"`
	Digest     string   `json:"digest"` // of what the VM loads: the same code compiled elsewhere, or without debug information, has the same
	Behaviours []string `json:"behaviours,omitempty"`
	CodeChange bool     `json:"code_change,omitempty"` // exports code_change/3 or /4
	NIFs       bool     `json:"nifs,omitempty"`        // calls erlang:load_nif/2
}

// Supervisor says whether the module is a supervisor.
func (m Module) Supervisor() bool {
	return slices.Contains(m.Behaviours, "supervisor") || slices.Contains(m.Behaviours, "Elixir.Supervisor")
}

// maxBeamFile bounds a .beam file and what it unpacks to.
const maxBeamFile = 64 << 20

// loadedChunks are the chunks that decide what a module does, in a fixed order. Compile information, debug information,
// documentation and line numbers are not among them.
//
// Spec: lib/compiler and erts/emulator/internal_doc/beam_makeops.md of OTP name them; beam_lib:md5/1 takes the same.
var loadedChunks = []string{"AtU8", "Atom", "Code", "StrT", "ImpT", "ExpT", "FunT", "LitT"}

// ParseModule reads a .beam file, compressed or not.
//
// Errors: ErrBadModule.
func ParseModule(b []byte) (Module, error) {
	m, err := parseModule(b)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrBadModule, err)
	}
	return m, nil
}

// ErrBadModule tells of a .beam file that is none.
var ErrBadModule = errors.New("release: not a BEAM module")

func parseModule(b []byte) (Module, error) {
	var m Module
	chunks, err := beamChunks(b)
	if err != nil {
		return m, err
	}
	atoms, err := beamAtoms(chunks)
	if err != nil {
		return m, err
	}
	m.Name = atoms[0]
	h := sha256.New()
	for _, name := range loadedChunks {
		data, ok := chunks[name]
		if !ok {
			continue
		}
		if name == "LitT" {
			if data, err = inflateLiterals(data); err != nil {
				return m, err
			}
		}
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
	}
	m.Digest = hex.EncodeToString(h.Sum(nil))[:32]
	m.Behaviours = behaviours(chunks["Attr"])
	atom := func(i uint32) string {
		if i == 0 || int(i) > len(atoms) {
			return ""
		}
		return atoms[i-1]
	}
	err = eachTriple(chunks["ExpT"], func(fun, arity, _ uint32) {
		if atom(fun) == "code_change" && (arity == 3 || arity == 4) {
			m.CodeChange = true
		}
	})
	return m, errors.Join(err, eachTriple(chunks["ImpT"], func(mod, fun, arity uint32) {
		if atom(mod) == "erlang" && atom(fun) == "load_nif" && arity == 2 {
			m.NIFs = true
		}
	}))
}

// beamChunks cuts a file into its chunks: "FOR1" size "BEAM", then name, size, data, padded to four bytes.
func beamChunks(b []byte) (map[string][]byte, error) {
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, maxBeamFile+1)); err != nil {
			return nil, err
		}
	}
	if len(b) > maxBeamFile {
		return nil, fmt.Errorf("it is longer than %d bytes", maxBeamFile)
	}
	if len(b) < 12 || string(b[:4]) != "FOR1" || string(b[8:12]) != "BEAM" {
		return nil, errors.New("it does not begin as one")
	}
	chunks := make(map[string][]byte)
	for rest := b[12:]; len(rest) >= 8; {
		name, size := string(rest[:4]), binary.BigEndian.Uint32(rest[4:])
		if uint64(size) > uint64(len(rest)-8) {
			return nil, fmt.Errorf("chunk %q is cut off", name)
		}
		chunks[name] = rest[8 : 8+size]
		rest = rest[min(uint64(len(rest)), 8+(uint64(size)+3)&^3):]
	}
	return chunks, nil
}

// beamAtoms reads the atom table; the first is the module's name. Since OTP 28 a negative count says that lengths are
// written as compact terms.
func beamAtoms(chunks map[string][]byte) ([]string, error) {
	data, ok := chunks["AtU8"]
	if !ok {
		data = chunks["Atom"] // before OTP 20
	}
	if len(data) < 4 {
		return nil, errors.New("it has no atoms")
	}
	n, rest := int32(binary.BigEndian.Uint32(data)), data[4:]
	long := n < 0
	if long {
		n = -n
	}
	atoms := make([]string, 0, min(int(n), len(rest)))
	for range n {
		size, used, err := atomLength(rest, long)
		if err != nil || size > len(rest)-used {
			return nil, errors.New("its atoms are cut off")
		}
		atoms = append(atoms, string(rest[used:used+size]))
		rest = rest[used+size:]
	}
	if len(atoms) == 0 {
		return nil, errors.New("it has no atoms")
	}
	return atoms, nil
}

// atomLength reads the length before an atom: a byte, or a compact term with tag 0 (four bits, or eleven in two bytes).
func atomLength(b []byte, long bool) (size, used int, err error) {
	switch {
	case len(b) == 0:
		return 0, 0, io.ErrUnexpectedEOF
	case !long:
		return int(b[0]), 1, nil
	case b[0]&0x08 == 0:
		return int(b[0] >> 4), 1, nil
	case b[0]&0x10 == 0 && len(b) > 1:
		return int(b[0]&0xe0)<<3 | int(b[1]), 2, nil
	}
	return 0, 0, io.ErrUnexpectedEOF
}

// inflateLiterals gives the literals without their compression, which depends on the zlib that made it. Since OTP 28
// they are not compressed.
func inflateLiterals(data []byte) ([]byte, error) {
	if len(data) < 4 {
		return nil, errors.New("its literals are cut off")
	}
	size := binary.BigEndian.Uint32(data)
	if size == 0 {
		return data[4:], nil
	}
	if size > maxBeamFile {
		return nil, errors.New("its literals are too long")
	}
	z, err := zlib.NewReader(bytes.NewReader(data[4:]))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, int64(size)))
}

func eachTriple(data []byte, f func(a, b, c uint32)) error {
	if len(data) == 0 {
		return nil
	}
	if len(data) < 4 || uint64(binary.BigEndian.Uint32(data))*12 > uint64(len(data)-4) {
		return errors.New("a table is cut off")
	}
	for n, rest := binary.BigEndian.Uint32(data), data[4:]; n > 0; n, rest = n-1, rest[12:] {
		f(binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:]), binary.BigEndian.Uint32(rest[8:]))
	}
	return nil
}

// behaviours reads them from the attributes, [{behaviour, [gen_server]}, …].
func behaviours(attr []byte) []string {
	t, err := etf.Decode(attr)
	if err != nil {
		return nil // a stripped module has none
	}
	var all []string
	list, _ := t.(etf.List)
	for _, e := range list {
		pair, ok := e.(etf.Tuple)
		if !ok || len(pair) != 2 || pair[0] != etf.Term(etf.Atom("behaviour")) && pair[0] != etf.Term(etf.Atom("behavior")) {
			continue
		}
		var names []etf.Atom
		if etf.UnmarshalTerm(pair[1], &names) != nil {
			continue
		}
		for _, n := range names {
			if !slices.Contains(all, string(n)) {
				all = append(all, string(n))
			}
		}
	}
	slices.SortFunc(all, strings.Compare)
	return all
}
