package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// What EPMDServer reads besides the requests of epmd_message.go, and what it answers.
const (
	tagDumpReq = 100 // DUMP_REQ
	tagKillReq = 107 // KILL_REQ

	maxExtra       = 1000                         // bytes of the extra field
	maxEPMDRequest = 13 + maxNameField + maxExtra // bytes of any request
)

var errEPMDRequest = errors.New("malformed epmd request")

// readEPMDReq reads one request: its length u16, its tag, its body.
func readEPMDReq(r io.Reader) (tag byte, body []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n == 0 || n > maxEPMDRequest {
		return 0, nil, fmt.Errorf("%w: %d bytes", errEPMDRequest, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, err
	}
	return b[0], b[1:], nil
}

// epmdEntry is a registered node.
type epmdEntry struct {
	name      string
	port      uint16
	kind      byte
	protocol  byte
	high, low uint16
	extra     []byte
	creation  uint32
}

// parseAlive2 reads the body of ALIVE2_REQ, see alive2Req.
func parseAlive2(b []byte) (epmdEntry, error) {
	if len(b) < 10 {
		return epmdEntry{}, fmt.Errorf("%w: ALIVE2_REQ of %d bytes", errEPMDRequest, len(b))
	}
	e := epmdEntry{
		port: binary.BigEndian.Uint16(b), kind: b[2], protocol: b[3],
		high: binary.BigEndian.Uint16(b[4:]), low: binary.BigEndian.Uint16(b[6:]),
	}
	name, b, ok := cutField(b[8:])
	if !ok || !validAlive(name) {
		return epmdEntry{}, fmt.Errorf("%w: name in ALIVE2_REQ", errEPMDRequest)
	}
	extra, _, ok := cutField(b)
	if !ok || len(extra) > maxExtra {
		return epmdEntry{}, fmt.Errorf("%w: extra field in ALIVE2_REQ", errEPMDRequest)
	}
	e.name, e.extra = string(name), extra
	return e, nil
}

// cutField cuts off a field that has its length, u16, before it.
func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// validAlive tells whether a name can be registered. EPMD itself is not choosy; but a name with a space or a line end
// would make the answer to NAMES lie.
func validAlive(name []byte) bool {
	if len(name) == 0 || len(name) > maxNameField || !utf8.Valid(name) {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c == '@' || c == 0x7f {
			return false
		}
	}
	return true
}

// alive2Resp is ALIVE2_X_RESP, or ALIVE2_RESP for nodes of before OTP 23.
func (e *epmdEntry) alive2Resp(result byte) []byte {
	if e.high >= distVersion {
		return binary.BigEndian.AppendUint32([]byte{tagAlive2XResp, result}, e.creation)
	}
	return binary.BigEndian.AppendUint16([]byte{tagAlive2Resp, result}, uint16(e.creation%3+1))
}

// port2Resp is PORT2_RESP, see readPort2Resp.
func (e *epmdEntry) port2Resp() []byte {
	b := binary.BigEndian.AppendUint16([]byte{tagPort2Resp, 0}, e.port)
	b = append(b, e.kind, e.protocol)
	b = binary.BigEndian.AppendUint16(b, e.high)
	b = binary.BigEndian.AppendUint16(b, e.low)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(e.name))), e.name...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(e.extra))), e.extra...)
}
