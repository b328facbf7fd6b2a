package tlsdist

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/beamkeeper/beamkeeper/etf"
)

// OptFileSpec is what goes into an ssl_dist_optfile. CertFile and KeyFile may be the same file.
type OptFileSpec struct {
	CertFile, KeyFile, CAFile string
	Password                  string // of the key
}

// OptFileText writes an ssl_dist_optfile with which a BEAM insists on certificates of both sides.
//
// Without versions OTP would use TLS 1.2 alone. Sessions are not reused: a session would outlive its certificate. The
// client checks the peer's host by default (server_name_indication), so nothing says so here.
func OptFileText(s OptFileSpec) string {
	common := []etf.Term{
		etf.Tuple{etf.Atom("certfile"), charlist(s.CertFile)},
		etf.Tuple{etf.Atom("keyfile"), charlist(s.KeyFile)},
		etf.Tuple{etf.Atom("cacertfile"), charlist(s.CAFile)},
	}
	if s.Password != "" {
		common = append(common, etf.Tuple{etf.Atom("password"), charlist(s.Password)})
	}
	common = append(common,
		etf.Tuple{etf.Atom("verify"), etf.Atom("verify_peer")},
		etf.Tuple{etf.Atom("versions"), etf.List{etf.Atom("tlsv1.3"), etf.Atom("tlsv1.2")}},
		etf.Tuple{etf.Atom("reuse_sessions"), etf.Atom("false")},
	)
	var b strings.Builder
	b.WriteString("%% coding: utf-8\n%% Written by beamkeeper; changes are lost.\n[")
	for i, side := range []string{"server", "client"} {
		opts := common
		if side == "server" {
			opts = append(opts[:len(opts):len(opts)], etf.Tuple{etf.Atom("fail_if_no_peer_cert"), etf.Atom("true")})
		}
		fmt.Fprintf(&b, "{%s, [\n", side)
		for j, o := range opts {
			b.WriteString("   " + etf.Format(o))
			if j < len(opts)-1 {
				b.WriteByte(',')
			}
			b.WriteByte('\n')
		}
		b.WriteString("]}")
		if i == 0 {
			b.WriteString(",\n ")
		}
	}
	b.WriteString("].\n")
	return b.String()
}

// ErlArgs are the arguments that make a BEAM use TLS with an ssl_dist_optfile. They are written to be split at white
// space by start scripts, so that the path may have none. Error: ErrPath.
func ErlArgs(optFile string) (string, error) {
	if !filepath.IsAbs(optFile) || strings.ContainsAny(optFile, " \t\r\n\v\f\"'\\$`*?[") {
		return "", fmt.Errorf("tlsdist: %w: %q (want an absolute path without spaces, quotes and $ * ? [)", ErrPath, optFile)
	}
	return "-proto_dist inet_tls -ssl_dist_optfile " + optFile, nil
}

// sideOptions is what concerns us in one side of an ssl_dist_optfile.
type sideOptions struct {
	certFile, keyFile, caFile string
	password                  string
	min, max                  uint16
	noHostCheck               bool // server_name_indication is disable
}

// parseOptFile reads an ssl_dist_optfile: one term, [{server, Options}, {client, Options}]. OTP evaluates it as an
// expression; what is not a term is refused here. Error: ErrOptFile.
func parseOptFile(name string, b []byte) (server, client sideOptions, err error) {
	bad := func(format string, args ...any) (sideOptions, sideOptions, error) {
		return sideOptions{}, sideOptions{}, fmt.Errorf("tlsdist: %w: %s: %s", ErrOptFile, name, fmt.Sprintf(format, args...))
	}
	terms, err := etf.Consult(name, b)
	if err != nil {
		return bad("%v", err)
	}
	if len(terms) != 1 {
		return bad("it holds %d terms, not one", len(terms))
	}
	list, ok := terms[0].(etf.List)
	if !ok {
		return bad("its term is not a list of {server, Options} and {client, Options}")
	}
	seen := map[etf.Atom]bool{}
	for _, t := range list {
		pair, ok := t.(etf.Tuple)
		if !ok || len(pair) != 2 {
			return bad("%.80s is neither {server, Options} nor {client, Options}", etf.Format(t))
		}
		side, _ := pair[0].(etf.Atom)
		opts, ok := pair[1].(etf.List)
		if !ok || side != "server" && side != "client" {
			return bad("%.80s is neither {server, Options} nor {client, Options}", etf.Format(t))
		}
		o, err := parseSide(opts)
		if err != nil {
			return bad("%s: %v", side, err)
		}
		if seen[side] = true; side == "server" {
			server = o
		} else {
			client = o
		}
	}
	if !seen["server"] || !seen["client"] {
		return bad("it needs both server and client options")
	}
	return server, client, nil
}

func parseSide(opts etf.List) (sideOptions, error) {
	var s sideOptions
	for _, t := range opts {
		pair, ok := t.(etf.Tuple)
		if !ok || len(pair) != 2 {
			continue // such as the atom of a flag
		}
		key, _ := pair[0].(etf.Atom)
		var err error
		switch key {
		case "certfile":
			s.certFile, err = filePath(pair[1])
		case "keyfile":
			s.keyFile, err = filePath(pair[1])
		case "cacertfile":
			s.caFile, err = filePath(pair[1])
		case "password":
			s.password, err = text(pair[1])
		case "versions":
			s.min, s.max, err = versions(pair[1])
		case "server_name_indication":
			s.noHostCheck = pair[1] == etf.Atom("disable")
		case "certs_keys":
			err = s.certsKeys(pair[1])
		case "cert", "key", "cacerts":
			err = fmt.Errorf("only files are read, not what is written into the option itself")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", key, err)
		}
	}
	if s.keyFile == "" {
		s.keyFile = s.certFile // as OTP
	}
	for _, f := range []struct{ key, value string }{{"certfile", s.certFile}, {"cacertfile", s.caFile}} {
		if f.value == "" {
			return s, fmt.Errorf("%s is missing", f.key)
		}
	}
	return s, nil
}

// certsKeys takes the first of OTP 25's list of certificates.
func (s *sideOptions) certsKeys(t etf.Term) error {
	list, ok := t.(etf.List)
	if !ok || len(list) == 0 {
		return fmt.Errorf("want a list of maps")
	}
	m, ok := list[0].(etf.Map)
	if !ok {
		return fmt.Errorf("want a list of maps")
	}
	for _, p := range m {
		var err error
		switch p.Key {
		case etf.Atom("certfile"):
			s.certFile, err = filePath(p.Value)
		case etf.Atom("keyfile"):
			s.keyFile, err = filePath(p.Value)
		case etf.Atom("password"):
			s.password, err = text(p.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// charlist makes an Erlang string.
func charlist(s string) etf.Term {
	latin1 := make([]byte, 0, len(s))
	list := make(etf.List, 0, len(s))
	for _, r := range s {
		latin1 = append(latin1, byte(r))
		list = append(list, int64(r))
	}
	for _, c := range list {
		if c.(int64) > 0xff {
			return list
		}
	}
	return etf.Charlist(latin1)
}

// text reads an Erlang string or a binary.
func text(t etf.Term) (string, error) {
	var b strings.Builder
	switch v := t.(type) {
	case etf.Charlist:
		for i := range len(v) {
			b.WriteRune(rune(v[i])) // Latin-1
		}
		return b.String(), nil
	case etf.Binary:
		return string(v), nil
	case etf.List: // with characters above 255
		for _, c := range v {
			n, ok := c.(int64)
			if !ok || n < 0 || n > utf8.MaxRune {
				return "", fmt.Errorf("%.80s is no string", etf.Format(t))
			}
			b.WriteRune(rune(n))
		}
		return b.String(), nil
	}
	return "", fmt.Errorf("%.80s is no string", etf.Format(t))
}

func filePath(t etf.Term) (string, error) {
	s, err := text(t)
	if err == nil && !filepath.IsAbs(s) {
		err = fmt.Errorf("%q is not absolute: every program would look elsewhere", s)
	}
	return s, err
}

func versions(t etf.Term) (low, high uint16, err error) {
	list, _ := t.(etf.List)
	for _, e := range list {
		var v uint16
		switch e {
		case etf.Atom("tlsv1.2"):
			v = tls.VersionTLS12
		case etf.Atom("tlsv1.3"):
			v = tls.VersionTLS13
		default:
			continue // older ones are not spoken
		}
		if low == 0 || v < low {
			low = v
		}
		high = max(high, v)
	}
	if low == 0 {
		return 0, 0, fmt.Errorf("%.80s has neither 'tlsv1.2' nor 'tlsv1.3'", etf.Format(t))
	}
	return low, high, nil
}
