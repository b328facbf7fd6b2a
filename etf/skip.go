package etf

import "encoding/binary"

// fixedSize is the length of a tag with its fields for the tags whose length is always the same; 0 for the others.
var fixedSize = [256]uint8{
	tagSmallInteger: 2, tagInteger: 5, tagFloat: 32, tagNewFloat: 9, tagNil: 1, tagCacheRef: 2,
}

// skip returns the position behind the term at b[p:]. It looks at lengths only: atoms may be malformed and map keys may
// occur twice. It does not recurse, so depth is no matter. The error is ErrTruncated or wraps ErrTag.
func skip(b []byte, p int) (int, error) {
	for todo := 1; todo > 0; todo-- {
		if todo > len(b)-p {
			return p, ErrTruncated
		}
		tag := b[p]
		if n := int(fixedSize[tag]); n > 0 {
			p += n
			continue
		}
		n, more, err := skipParts(b, p)
		if err != nil {
			return p, err
		}
		if n > len(b)-p || more > len(b)-p-n {
			return p, ErrTruncated
		}
		p += n
		todo += more
	}
	if p > len(b) {
		return p, ErrTruncated
	}
	return p, nil
}

// skipParts returns how many bytes the term at b[p:] has before its first element, and how many elements follow them.
// Identifiers are one part, their node name included.
func skipParts(b []byte, p int) (n, more int, err error) {
	rest := b[p:]
	field := func(at, width int) int {
		if at+width > len(rest) {
			err = ErrTruncated
			return 0
		}
		v := 0
		for _, c := range rest[at : at+width] {
			v = v<<8 | int(c)
		}
		return v
	}
	switch tag := rest[0]; tag {
	case tagSmallAtomUTF8, tagSmallAtom:
		n = 2 + field(1, 1)
	case tagAtomUTF8, tagAtom, tagString:
		n = 3 + field(1, 2)
	case tagBinary:
		n = 5 + field(1, 4)
	case tagBitBinary:
		n = 6 + field(1, 4)
	case tagSmallBig:
		n = 3 + field(1, 1)
	case tagLargeBig:
		n = 6 + field(1, 4)
	case tagSmallTuple:
		n, more = 2, field(1, 1)
	case tagLargeTuple:
		n, more = 5, field(1, 4)
	case tagList:
		n, more = 5, field(1, 4)+1
	case tagMap:
		n, more = 5, 2*field(1, 4)
	case tagRecord:
		n, more = 6, 2+2*field(1, 4)
	case tagExport:
		n, more = 1, 3
	case tagNewFun:
		if n = 1 + field(1, 4); n < 1+newFunFixed && err == nil {
			err = malformed("size %d", n-1)
		}
	case tagLocal:
		n, more = 5, 1
	case tagNewPid, tagNewPort, tagPid, tagPort, tagV4Port:
		n, err = skipIdentifier(rest, 1, map[byte]int{tagNewPid: 12, tagPid: 9, tagNewPort: 8, tagPort: 5, tagV4Port: 12}[tag])
	case tagReference:
		n, err = skipIdentifier(rest, 1, 5)
	case tagNewReference:
		words := field(1, 2)
		if err == nil {
			n, err = skipIdentifier(rest, 3, 1+4*words)
		}
	case tagNewerReference:
		words := field(1, 2)
		if err == nil {
			n, err = skipIdentifier(rest, 3, 4+4*words)
		}
	default:
		err = ErrTag
	}
	return n, more, err
}

// skipIdentifier returns the end of a node name at b[p:] and words bytes. NIL_EXT in place of the name occurs inside
// LOCAL_EXT.
func skipIdentifier(b []byte, p, words int) (int, error) {
	if p >= len(b) {
		return 0, ErrTruncated
	}
	switch b[p] {
	case tagNil:
		return p + 1 + words, nil
	case tagCacheRef:
		return p + 2 + words, nil
	case tagSmallAtomUTF8, tagSmallAtom:
		if p+2 > len(b) {
			return 0, ErrTruncated
		}
		return p + 2 + int(b[p+1]) + words, nil
	case tagAtom, tagAtomUTF8:
		if p+3 > len(b) {
			return 0, ErrTruncated
		}
		return p + 3 + int(binary.BigEndian.Uint16(b[p+1:])) + words, nil
	}
	return 0, malformed("node is not an atom")
}
