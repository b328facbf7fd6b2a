package etf

import (
	"encoding/binary"
	"fmt"
	"math/big"
)

func appendPidWords(dst []byte, p Pid) []byte {
	return append(dst, byte(p.ID>>24), byte(p.ID>>16), byte(p.ID>>8), byte(p.ID),
		byte(p.Serial>>24), byte(p.Serial>>16), byte(p.Serial>>8), byte(p.Serial),
		byte(p.Creation>>24), byte(p.Creation>>16), byte(p.Creation>>8), byte(p.Creation))
}

// maxV3Port is the largest port number that NEW_PORT_EXT holds.
const maxV3Port = 1<<28 - 1

func (s *encoding) port(dst []byte, p Port) []byte {
	tag := byte(tagV4Port)
	if s.LegacyPorts && p.ID <= maxV3Port {
		tag = tagNewPort
	}
	if dst = s.atom(append(dst, tag), p.Node); dst == nil {
		return nil
	}
	if tag == tagV4Port {
		dst = binary.BigEndian.AppendUint64(dst, p.ID)
	} else {
		dst = binary.BigEndian.AppendUint32(dst, uint32(p.ID))
	}
	return binary.BigEndian.AppendUint32(dst, p.Creation)
}

func (s *encoding) ref(dst []byte, r Ref) []byte {
	if int(r.Len) > len(r.ID) {
		return s.fail(&ValueError{What: "reference", Reason: fmt.Sprintf("%d words", r.Len)})
	}
	if dst = s.atom(append(dst, tagNewerReference, 0, r.Len), r.Node); dst == nil {
		return nil
	}
	dst = binary.BigEndian.AppendUint32(dst, r.Creation)
	for _, w := range r.ID[:r.Len] {
		dst = binary.BigEndian.AppendUint32(dst, w)
	}
	return dst
}

func (s *encoding) export(dst []byte, x Export) []byte {
	if dst = s.atom(append(dst, tagExport), x.Module); dst == nil {
		return nil
	}
	if dst = s.atom(dst, x.Function); dst == nil {
		return nil
	}
	return append(dst, tagSmallInteger, x.Arity)
}

func (s *encoding) fun(dst []byte, f *Fun, depth int) []byte {
	if f == nil {
		return s.fail(&UnsupportedTypeError{})
	}
	if !isInteger(f.OldIndex) || !isInteger(f.OldUniq) {
		return s.fail(&ValueError{What: "fun", Reason: "OldIndex and OldUniq must be integers"})
	}
	dst = append(dst, tagNewFun)
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, f.Arity)
	dst = append(dst, f.Uniq[:]...)
	dst = binary.BigEndian.AppendUint32(dst, f.Index)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.Free)))
	if dst = s.atom(dst, f.Module); dst == nil {
		return nil
	}
	for _, t := range [...]Term{f.OldIndex, f.OldUniq} {
		if dst = s.term(dst, t, depth); dst == nil {
			return nil
		}
	}
	if dst = s.atom(append(dst, tagNewPid), f.Creator.Node); dst == nil {
		return nil
	}
	if dst = s.terms(appendPidWords(dst, f.Creator), f.Free, depth); dst == nil {
		return nil
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

func isInteger(t Term) bool {
	switch t.(type) {
	case int64, int, *big.Int:
		return true
	}
	return false
}

// record appends RECORD_EXT: count u32 | flags u8 | module | name | count field names | count values.
func (s *encoding) record(dst []byte, r *Record, depth int) []byte {
	if s.RefuseRecords {
		return s.fail(ErrRecord)
	}
	if r == nil {
		return s.fail(&UnsupportedTypeError{})
	}
	dst = append(appendLen32(dst, tagRecord, len(r.Fields)), recordFlags(r))
	if dst = s.atom(dst, r.Module); dst == nil {
		return nil
	}
	if dst = s.atom(dst, r.Name); dst == nil {
		return nil
	}
	for i := range r.Fields {
		if dst = s.atom(dst, r.Fields[i].Name); dst == nil {
			return nil
		}
	}
	if depth++; depth > maxEncodeDepth {
		return s.fail(errEncodeDepth)
	}
	for i := range r.Fields {
		if dst = s.term(dst, r.Fields[i].Value, depth); dst == nil {
			return nil
		}
	}
	return dst
}

func recordFlags(r *Record) byte {
	if r.Exported {
		return 1
	}
	return 0
}
