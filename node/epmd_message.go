package node

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// The messages to and from EPMD. Requests have a length of two bytes before them, answers have not.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#epmd-protocol
const (
	tagAlive2Req      = 120 // ALIVE2_REQ
	tagAlive2Resp     = 121 // ALIVE2_RESP: creation of 16 bits
	tagAlive2XResp    = 118 // ALIVE2_X_RESP: creation of 32 bits
	tagPortPlease2Req = 122 // PORT_PLEASE2_REQ
	tagPort2Resp      = 119 // PORT2_RESP
	tagNamesReq       = 110 // NAMES_REQ

	nodeTypeHidden = 72
	nodeTypeNormal = 77

	distVersion = 6 // the one of OTP 23 and later; 5 came before

	maxNamesBytes = 1 << 20 // of the text that NAMES answers with
)

// alive2Req registers a node for as long as the connection stays open.
//
//	120 | port u16 | type u8 | protocol u8 (0 = TCP) | high u16 | low u16 | nlen u16 | name | elen u16 | extra
type alive2Req struct {
	port   uint16
	hidden bool
	name   string
}

func (m *alive2Req) append(dst []byte) []byte {
	body := binary.BigEndian.AppendUint16([]byte{tagAlive2Req}, m.port)
	if m.hidden {
		body = append(body, nodeTypeHidden)
	} else {
		body = append(body, nodeTypeNormal)
	}
	body = append(body, 0)
	body = binary.BigEndian.AppendUint16(body, distVersion)
	body = binary.BigEndian.AppendUint16(body, distVersion)
	body = binary.BigEndian.AppendUint16(body, uint16(len(m.name)))
	body = append(body, m.name...)
	body = binary.BigEndian.AppendUint16(body, 0)
	return appendEPMDReq(dst, body)
}

// readAlive2Resp reads the answer to alive2Req and gives the creation.
//
//	118 | result u8 | creation u32      or      121 | result u8 | creation u16
func readAlive2Resp(r io.Reader) (creation uint32, err error) {
	var b [6]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return 0, err
	}
	switch b[0] {
	case tagAlive2XResp:
		if _, err := io.ReadFull(r, b[2:6]); err != nil {
			return 0, err
		}
		creation = binary.BigEndian.Uint32(b[2:])
	case tagAlive2Resp:
		if _, err := io.ReadFull(r, b[2:4]); err != nil {
			return 0, err
		}
		creation = uint32(binary.BigEndian.Uint16(b[2:]))
	default:
		return 0, fmt.Errorf("unexpected answer %d", b[0])
	}
	if b[1] != 0 {
		return 0, ErrNameTaken
	}
	return creation, nil
}

func appendPortPlease2Req(dst []byte, alive string) []byte {
	return appendEPMDReq(dst, append([]byte{tagPortPlease2Req}, alive...))
}

// readPort2Resp reads the answer to PORT_PLEASE2.
//
//	119 | result u8 (0 = found) | port u16 | type u8 | protocol u8 | high u16 | low u16 | nlen u16 | name | elen u16 | extra
func readPort2Resp(r io.Reader) (EPMDNode, error) {
	var b [12]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return EPMDNode{}, err
	}
	if b[0] != tagPort2Resp {
		return EPMDNode{}, fmt.Errorf("unexpected answer %d", b[0])
	}
	if b[1] != 0 {
		return EPMDNode{}, ErrNameUnknown
	}
	if _, err := io.ReadFull(r, b[2:]); err != nil {
		return EPMDNode{}, err
	}
	n := EPMDNode{
		Port:   int(binary.BigEndian.Uint16(b[2:])),
		Hidden: b[4] == nodeTypeHidden,
		High:   binary.BigEndian.Uint16(b[6:]),
		Low:    binary.BigEndian.Uint16(b[8:]),
	}
	nlen := int(binary.BigEndian.Uint16(b[10:]))
	if nlen > maxNameField {
		return EPMDNode{}, fmt.Errorf("name of %d bytes", nlen)
	}
	name := make([]byte, nlen+2)
	if _, err := io.ReadFull(r, name); err != nil {
		return EPMDNode{}, err
	}
	n.Alive = string(name[:nlen])
	// The extra field is for others; the connection is closed with it unread.
	return n, nil
}

func appendNamesReq(dst []byte) []byte { return appendEPMDReq(dst, []byte{tagNamesReq}) }

// readNamesResp reads the answer to NAMES: the port of EPMD itself, then lines until the end.
//
//	epmd port u32 | "name NAME at port PORT\n" ...
func readNamesResp(r io.Reader) ([]EPMDNode, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxNamesBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) < 4 || len(b) > maxNamesBytes {
		return nil, fmt.Errorf("answer of %d bytes", len(b))
	}
	nodes := []EPMDNode{}
	for line := range strings.Lines(string(b[4:])) {
		f := strings.Fields(line)
		if len(f) != 5 || f[0] != "name" || f[2] != "at" || f[3] != "port" {
			return nil, fmt.Errorf("unexpected line %.80q", line)
		}
		port, err := strconv.ParseUint(f[4], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("unexpected line %.80q", line)
		}
		nodes = append(nodes, EPMDNode{Alive: f[1], Port: int(port)})
	}
	return nodes, nil
}

func appendEPMDReq(dst, body []byte) []byte {
	if len(body) > math.MaxUint16 {
		panic("node: epmd request too long")
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(body))), body...)
}
