package etf

import (
	"bytes"
	"math"
	"math/big"
	"regexp"
	"strconv"
)

func (d *Decoder) smallBig(b []byte, p int) (Term, int) {
	if p+3 > len(b) {
		return d.fail(p, tagSmallBig, ErrTruncated)
	}
	n, sign := int(b[p+1]), b[p+2]
	return d.bigDigits(b, p, p+3, n, sign)
}

func (d *Decoder) largeBig(b []byte, p int) (Term, int) {
	n := d.len32(b, p)
	if n < 0 || p+6 > len(b) {
		return d.fail(p, tagLargeBig, ErrTruncated)
	}
	return d.bigDigits(b, p, p+6, n, b[p+5])
}

// bigDigits reads n little-endian bytes at b[p:]. Any sign but 0 is minus, as binary_to_term has it.
func (d *Decoder) bigDigits(b []byte, start, p, n int, sign byte) (Term, int) {
	if n > len(b)-p {
		return d.fail(start, b[start], ErrTruncated)
	}
	digits := b[p : p+n]
	p += n
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
	}
	if len(digits) <= 8 {
		var abs uint64
		for i, c := range digits {
			abs |= uint64(c) << (8 * i)
		}
		if sign == 0 && abs <= math.MaxInt64 {
			return d.slabs.int(int64(abs)), p
		}
		if sign != 0 && abs <= 1<<63 {
			return d.slabs.int(-int64(abs)), p
		}
	}
	be := make([]byte, len(digits))
	for i, c := range digits {
		be[len(be)-1-i] = c
	}
	v := new(big.Int).SetBytes(be)
	if sign != 0 {
		v.Neg(v)
	}
	return v, p
}

// textFloat reads FLOAT_EXT: 31 bytes of text ended by zeros.
func (d *Decoder) textFloat(b []byte, p int) (Term, int) {
	end := p + 32
	if end > len(b) {
		return d.fail(p, tagFloat, ErrTruncated)
	}
	text, _, _ := bytes.Cut(b[p+1:end], []byte{0})
	f, ok := parseTextFloat(string(text))
	if !ok {
		return d.fail(p, tagFloat, malformed("float %q", text))
	}
	return d.slabs.float(f), end
}

// parseTextFloat reads what C's "%.20e" writes: a sign or none, digits, point, digits, an exponent or none. What is
// too small is 0.0, what is too large an error, as in OTP.
func parseTextFloat(text string) (float64, bool) {
	if !textFloat.MatchString(text) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

var textFloat = regexp.MustCompile(`^[-+]?[0-9]+\.[0-9]+([eE][-+]?[0-9]+)?$`)
