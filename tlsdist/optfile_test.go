package tlsdist

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
)

// deployExOptFile is what DeployEx 0.9 writes.
const deployExOptFile = `[
  {server, [
    {certfile, "/certs/deployex.crt"},
    {keyfile, "/certs/deployex.key"},
    {cacertfile, "/certs/ca.crt"},
    {verify, verify_peer},
    {secure_renegotiate, true}
  ]},
  {client, [
    {certfile, "/certs/deployex.crt"},
    {keyfile, "/certs/deployex.key"},
    {cacertfile, "/certs/ca.crt"},
    {verify, verify_peer},
    {secure_renegotiate, true},
    {server_name_indication, disable}
  ]}
].
`

func TestParseOptFile(t *testing.T) {
	t.Parallel()
	const files = `{certfile, "/c"}, {keyfile, "/k"}, {cacertfile, "/a"}`
	files3 := sideOptions{certFile: "/c", keyFile: "/k", caFile: "/a"}
	with := func(f func(*sideOptions)) sideOptions { s := files3; f(&s); return s }
	for _, c := range []struct {
		name, text     string
		server, client sideOptions
	}{
		{"ours", OptFileText(OptFileSpec{CertFile: "/c", KeyFile: "/k", CAFile: "/a"}),
			with(func(s *sideOptions) { s.min, s.max = tls.VersionTLS12, tls.VersionTLS13 }),
			with(func(s *sideOptions) { s.min, s.max = tls.VersionTLS12, tls.VersionTLS13 })},
		{"ours, strange names", OptFileText(OptFileSpec{CertFile: "/é\"", KeyFile: "/ключ\\", CAFile: "/a", Password: "pä\nss"}),
			sideOptions{certFile: "/é\"", keyFile: "/ключ\\", caFile: "/a", password: "pä\nss", min: tls.VersionTLS12, max: tls.VersionTLS13},
			sideOptions{certFile: "/é\"", keyFile: "/ключ\\", caFile: "/a", password: "pä\nss", min: tls.VersionTLS12, max: tls.VersionTLS13}},
		{"DeployEx's", deployExOptFile,
			sideOptions{certFile: "/certs/deployex.crt", keyFile: "/certs/deployex.key", caFile: "/certs/ca.crt"},
			sideOptions{certFile: "/certs/deployex.crt", keyFile: "/certs/deployex.key", caFile: "/certs/ca.crt", noHostCheck: true}},
		{"binaries, one file, a fun", `[{server, [{certfile, <<"/c">>}, {cacertfile, "/a"}, {verify_fun, {fun inet_tls_dist:verify_client/3, []}}]}, {client, [` + files + `]}].`,
			sideOptions{certFile: "/c", keyFile: "/c", caFile: "/a"}, files3},
		{"certs_keys", `[{server, [{certs_keys, [#{certfile => "/c", keyfile => "/k", password => "p"}]}, {cacertfile, "/a"}]}, {client, [` + files + `, {versions, ['tlsv1.3', tlsv1]}]}].`,
			with(func(s *sideOptions) { s.password = "p" }), with(func(s *sideOptions) { s.min, s.max = tls.VersionTLS13, tls.VersionTLS13 })},
	} {
		server, client, err := parseOptFile("f", []byte(c.text))
		if err != nil || server != c.server || client != c.client {
			t.Errorf("%s: %+v, %+v, %v\nwant %+v, %+v", c.name, server, client, err, c.server, c.client)
		}
	}
}

func TestParseOptFile_Refuses(t *testing.T) {
	t.Parallel()
	const ok = `{certfile, "/c"}, {cacertfile, "/a"}`
	both := func(side string) string { return `[{server, [` + side + `]}, {client, [` + ok + `]}].` }
	for _, c := range []struct{ text, reason string }{
		{``, "0 terms"},
		{`[]. [].`, "2 terms"},
		{`ok.`, "not a list"},
		{`[ok].`, "neither"},
		{`[{server, ok}].`, "neither"},
		{`[{other, []}].`, "neither"},
		{`[{server, [` + ok + `]}].`, "both server and client"},
		{`[{server, [`, "f:1"},
		{both(`{certfile, "/c"}`), "cacertfile is missing"},
		{both(`{cacertfile, "/a"}`), "certfile is missing"},
		{both(`{certfile, "c"}`), "not absolute"},
		{both(`{certfile, c}`), "no string"},
		{both(`{certfile, [-1, 99999999999]}`), "no string"},
		{both(`{cert, <<1>>}`), "only files"},
		{both(ok + `, {versions, ['tlsv1.1']}`), "neither 'tlsv1.2'"},
		{both(`{certs_keys, []}`), "list of maps"},
		{both(`{certs_keys, [x]}`), "list of maps"},
		{both(`{certfile, os:getenv("X")}`), "f:1"},
	} {
		if _, _, err := parseOptFile("f", []byte(c.text)); !errors.Is(err, ErrOptFile) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", c.text, err, c.reason)
		}
	}
}

func TestErlArgs(t *testing.T) {
	t.Parallel()
	if got, err := ErlArgs("/var/lib/x/inet_tls.conf"); err != nil || got != "-proto_dist inet_tls -ssl_dist_optfile /var/lib/x/inet_tls.conf" {
		t.Errorf("ErlArgs = %q, %v", got, err)
	}
	for _, path := range []string{"x", "/a b", "/a'b", "/a$b", "/a\nb", `/a\b`} {
		if _, err := ErlArgs(path); !errors.Is(err, ErrPath) {
			t.Errorf("ErlArgs(%q) = %v, want ErrPath", path, err)
		}
	}
}

func FuzzParseOptFile(f *testing.F) {
	f.Add([]byte(deployExOptFile))
	f.Add([]byte(OptFileText(OptFileSpec{CertFile: "/c", KeyFile: "/ключ", CAFile: "/a", Password: "p"})))
	f.Add([]byte(`[{server, [{certs_keys, [#{certfile => "/c"}]}, {cacertfile, <<"/a">>}]}, {client, []}].`))
	f.Fuzz(func(t *testing.T, b []byte) {
		server, client, err := parseOptFile("f", b)
		if err != nil {
			if !errors.Is(err, ErrOptFile) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		for _, s := range []sideOptions{server, client} {
			if s.certFile == "" || s.keyFile == "" || s.caFile == "" {
				t.Errorf("incomplete options %+v", s)
			}
		}
	})
}
