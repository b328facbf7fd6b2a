package etf

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"strconv"
)

func appendInt(dst []byte, v int64) []byte {
	if uint64(v) <= 255 {
		return append(dst, tagSmallInteger, byte(v))
	}
	if int64(int32(v)) == v {
		return append(dst, tagInteger, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	if v < 0 {
		return appendSmallBig(dst, 1, -uint64(v))
	}
	return appendSmallBig(dst, 0, uint64(v))
}

func appendUint(dst []byte, v uint64) []byte {
	if v <= math.MaxInt32 {
		return appendInt(dst, int64(v))
	}
	return appendSmallBig(dst, 0, v)
}

func appendSmallBig(dst []byte, sign byte, abs uint64) []byte {
	n := (bits.Len64(abs) + 7) / 8
	end := len(dst) + 3 + n
	dst = append(dst, tagSmallBig, byte(n), sign, 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint64(dst[end-n:], abs)
	return dst[:end]
}

func appendBig(dst []byte, v *big.Int) []byte {
	if v.IsInt64() {
		return appendInt(dst, v.Int64())
	}
	n := (v.BitLen() + 7) / 8
	sign := byte(0)
	if v.Sign() < 0 {
		sign = 1
	}
	if n <= 255 {
		dst = append(dst, tagSmallBig, byte(n), sign)
	} else {
		dst = append(appendLen32(dst, tagLargeBig, n), sign)
	}
	for _, w := range v.Bits() {
		for i := 0; i < bits.UintSize/8 && n > 0; i++ {
			dst = append(dst, byte(w))
			w >>= 8
			n--
		}
	}
	return dst
}

func (s *encoding) float(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return s.fail(&ValueError{What: "float", Reason: "Erlang has no " + strconv.FormatFloat(f, 'g', -1, 64)})
	}
	if s.TextFloats {
		return appendTextFloat(dst, f)
	}
	return binary.BigEndian.AppendUint64(append(dst, tagNewFloat), math.Float64bits(f))
}

// appendTextFloat writes FLOAT_EXT: 31 bytes holding C's "%.20e" and zeros.
func appendTextFloat(dst []byte, f float64) []byte {
	dst = append(dst, tagFloat)
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', 20, 64)
	for len(dst)-start < 31 {
		dst = append(dst, 0)
	}
	return dst
}
