package etf

import "encoding/binary"

// atomBytes finds the name of the atom at b[p:]. A cache reference yields its boxed atom instead.
func (d *Decoder) atomBytes(b []byte, p int) (name []byte, boxed Term, end int) {
	if p >= len(b) {
		d.fail(p, 0, ErrTruncated)
		return nil, nil, -1
	}
	tag := b[p]
	var n int
	switch tag {
	case tagSmallAtomUTF8, tagSmallAtom, tagCacheRef:
		if p+2 > len(b) {
			d.fail(p, tag, ErrTruncated)
			return nil, nil, -1
		}
		n = int(b[p+1])
		p += 2
	case tagAtomUTF8, tagAtom:
		if p+3 > len(b) {
			d.fail(p, tag, ErrTruncated)
			return nil, nil, -1
		}
		n = int(binary.BigEndian.Uint16(b[p+1:]))
		p += 3
	default:
		d.fail(p, tag, malformed("not an atom"))
		return nil, nil, -1
	}
	if tag == tagCacheRef {
		if d.refs == nil || n >= len(d.refs.atoms) {
			d.fail(p-2, tag, malformed("no such reference: %d", n))
			return nil, nil, -1
		}
		return nil, d.refs.atoms[n], p
	}
	if n > len(b)-p {
		d.fail(p, tag, ErrTruncated)
		return nil, nil, -1
	}
	name = b[p : p+n]
	if tag == tagAtom || tag == tagSmallAtom {
		if n > maxAtomChars {
			d.fail(p, tag, malformed("atom of %d characters", n))
			return nil, nil, -1
		}
		name = latin1ToUTF8(name)
	}
	return name, nil, p + n
}

// atom reads any form of atom.
func (d *Decoder) atom(b []byte, p int) (Term, int) {
	name, boxed, end := d.atomBytes(b, p)
	if end < 0 || boxed != nil {
		return boxed, end
	}
	if d.atoms == nil {
		d.atoms = new(atomTable)
	}
	t, ok := d.atoms.intern(name)
	if !ok {
		return d.fail(p, b[p], malformed("%.40q is not an atom", name))
	}
	return t, end
}

// nodeAtom reads an atom into a field.
func (d *Decoder) nodeAtom(b []byte, p int) (Atom, int) {
	t, p := d.atom(b, p)
	if p < 0 {
		return "", -1
	}
	return t.(Atom), p
}

// maxOldCreation is the largest creation in the forms of before OTP 23, which have one byte for it.
const maxOldCreation = 3

func (d *Decoder) pid(b []byte, start int) (pid Pid, p int) {
	tag := b[start]
	node, p := d.nodeAtom(b, start+1)
	if p < 0 {
		return pid, -1
	}
	size := 12
	if tag == tagPid {
		size = 9
	}
	if size > len(b)-p {
		d.fail(start, tag, ErrTruncated)
		return pid, -1
	}
	pid.Node = node
	pid.ID = binary.BigEndian.Uint32(b[p:])
	pid.Serial = binary.BigEndian.Uint32(b[p+4:])
	if tag == tagPid {
		if pid.Creation = uint32(b[p+8]); pid.Creation > maxOldCreation {
			d.fail(start, tag, malformed("creation %d", pid.Creation))
			return pid, -1
		}
	} else {
		pid.Creation = binary.BigEndian.Uint32(b[p+8:])
	}
	return pid, p + size
}

func (d *Decoder) port(b []byte, start int) (port Port, p int) {
	tag := b[start]
	node, p := d.nodeAtom(b, start+1)
	if p < 0 {
		return port, -1
	}
	size := map[byte]int{tagPort: 5, tagNewPort: 8, tagV4Port: 12}[tag]
	if size > len(b)-p {
		d.fail(start, tag, ErrTruncated)
		return port, -1
	}
	port.Node = node
	switch tag {
	case tagPort:
		port.ID, port.Creation = uint64(binary.BigEndian.Uint32(b[p:])), uint32(b[p+4])
	case tagNewPort:
		port.ID, port.Creation = uint64(binary.BigEndian.Uint32(b[p:])), binary.BigEndian.Uint32(b[p+4:])
	case tagV4Port:
		port.ID, port.Creation = binary.BigEndian.Uint64(b[p:]), binary.BigEndian.Uint32(b[p+8:])
	}
	if tag == tagPort && port.Creation > maxOldCreation {
		d.fail(start, tag, malformed("creation %d", port.Creation))
		return port, -1
	}
	return port, p + size
}

// ref reads NEWER_REFERENCE_EXT and NEW_REFERENCE_EXT (count u16 | node | creation | words) and REFERENCE_EXT
// (node | word | creation).
func (d *Decoder) ref(b []byte, start int) (ref Ref, p int) {
	tag := b[start]
	p = start + 1
	words, creation := 1, 1
	if tag != tagReference {
		if p+2 > len(b) {
			d.fail(start, tag, ErrTruncated)
			return ref, -1
		}
		words = int(binary.BigEndian.Uint16(b[p:]))
		p += 2
		if words > len(ref.ID) {
			d.fail(start, tag, malformed("%d words", words))
			return ref, -1
		}
	}
	if tag == tagNewerReference {
		creation = 4
	}
	node, p := d.nodeAtom(b, p)
	if p < 0 {
		return ref, -1
	}
	if creation+4*words > len(b)-p {
		d.fail(start, tag, ErrTruncated)
		return ref, -1
	}
	ref.Node, ref.Len = node, uint8(words)
	switch tag {
	case tagNewerReference:
		ref.Creation = binary.BigEndian.Uint32(b[p:])
		p += 4
	case tagNewReference:
		ref.Creation = uint32(b[p])
		p++
	}
	for i := range words {
		ref.ID[i] = binary.BigEndian.Uint32(b[p:])
		p += 4
	}
	if tag == tagReference {
		ref.Creation = uint32(b[p])
		p++
	}
	if tag != tagNewerReference && ref.Creation > maxOldCreation {
		d.fail(start, tag, malformed("creation %d", ref.Creation))
		return ref, -1
	}
	return ref, p
}

func (d *Decoder) export(b []byte, start int) (Term, int) {
	mod, p := d.nodeAtom(b, start+1)
	if p < 0 {
		return nil, -1
	}
	fun, p := d.nodeAtom(b, p)
	if p < 0 {
		return nil, -1
	}
	t, p := d.term(b, p, 0, 0)
	if p < 0 {
		return nil, -1
	}
	arity, ok := t.(int64)
	if !ok || arity < 0 || arity > 255 {
		return d.fail(start, tagExport, malformed("arity is not a byte"))
	}
	return Export{Module: mod, Function: fun, Arity: uint8(arity)}, p
}
