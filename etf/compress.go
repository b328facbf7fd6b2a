package etf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// compressed reads 131,80: the size of the rest when unpacked, u32, then zlib data.
func (d *Decoder) compressed(b []byte) (Term, error) {
	fail := func(err error) (Term, error) {
		return nil, &SyntaxError{Offset: 1, Tag: tagCompressed, Err: err}
	}
	if len(b) < 6 {
		return fail(ErrTruncated)
	}
	size := int(binary.BigEndian.Uint32(b[2:]))
	if size > d.limits.MaxDecompressed {
		return fail(fmt.Errorf("%w: %d bytes unpacked, at most %d", ErrLimit, size, d.limits.MaxDecompressed))
	}
	packed := bytes.NewReader(b[6:])
	data, err := inflate(packed, size)
	if err != nil {
		return fail(err)
	}
	if packed.Len() > 0 {
		return nil, &SyntaxError{Offset: len(b) - packed.Len(), Err: ErrTrailing}
	}
	t, p := d.top(data, 0)
	return d.whole(t, data, p)
}

// inflate unpacks exactly size bytes. Memory grows with what really comes, not with what the sender declares.
func inflate(packed *bytes.Reader, size int) ([]byte, error) {
	zr, err := zlib.NewReader(packed)
	if err != nil {
		return nil, zlibError(err)
	}
	data, err := io.ReadAll(io.LimitReader(zr, int64(size)+1))
	switch {
	case err != nil:
		return nil, zlibError(err)
	case len(data) != size:
		return nil, malformed("unpacks to other than the declared %d bytes", size)
	}
	return data, nil
}

func zlibError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return fmt.Errorf("%w: %v", ErrTag, err)
}

// AppendCompressed appends the version byte and t packed by zlib, as term_to_binary(T, [compressed]) does, or plain where
// packing does not make it shorter. Nodes do not send packed terms to each other.
func AppendCompressed(dst []byte, t Term) ([]byte, error) {
	plain, err := AppendTerm(nil, t)
	if err != nil {
		return dst, err
	}
	if uint64(len(plain)) > math.MaxUint32 {
		return dst, &ValueError{What: "term", Reason: "too large to be packed"}
	}
	var packed bytes.Buffer
	zw := zlib.NewWriter(&packed)
	if _, err := zw.Write(plain); err != nil {
		return dst, err
	}
	if err := zw.Close(); err != nil {
		return dst, err
	}
	dst = append(dst, Version)
	if packed.Len()+5 >= len(plain) {
		return append(dst, plain...), nil
	}
	dst = binary.BigEndian.AppendUint32(append(dst, tagCompressed), uint32(len(plain)))
	return append(dst, packed.Bytes()...), nil
}
