package node

import "encoding/binary"

// reader takes fields from the front of a message. After the first field that is not there, ok is false and
// every later one is zero: a message is read whole and then asked once, by end.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// ok tells whether every field was there; trailing bytes are allowed.
func (r *reader) ok() bool { return !r.bad }

// end tells whether every field was there and nothing is left.
func (r *reader) end() bool { return !r.bad && len(r.b) == 0 }
