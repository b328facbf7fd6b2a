package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// useTLS sets node.tls in the configuration.
func (r *rig) useTLS(section string) {
	r.t.Helper()
	alive, _, _ := strings.Cut(r.node, "@")
	r.edit("  name: "+alive+"\n", "  name: "+alive+"\n  tls: "+section+"\n")
}

// certs are what `cert list` shows, by node.
func (r *rig) certs() map[string]certificateJSON {
	r.t.Helper()
	var list []certificateJSON
	if err := json.Unmarshal([]byte(r.must("cert", "list", "--json")), &list); err != nil {
		r.t.Fatal(err)
	}
	byNode := map[string]certificateJSON{}
	for _, c := range list {
		byNode[c.Node] = c
	}
	return byNode
}

func TestEndToEnd_OverTLS(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"erlang", "elixir", "gleam"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, language)
			r.useTLS("{mode: own_ca}")
			r.must("publish", r.app, sampletest.Build(t, language, "0.1.0"))
			d := r.run()
			first := r.await("two instances over TLS", running(2, "0.1.0"))
			certs := r.certs()
			if len(certs) != 3 || certs[r.node].Serial == "" {
				t.Errorf("certificates of %v, want those of the daemon and two instances", certs)
			}
			for _, i := range first.Instances {
				target := r.app + "/" + i.Name
				if got := r.must("rpc", target, "init:get_argument(proto_dist)."); !strings.Contains(got, "inet_tls") {
					t.Errorf("%s speaks %q", i.Name, got)
				}
				if left := time.Until(i.CertificateExpiresAt.Time); left <= 0 || left > 8*24*time.Hour || !certs[i.Node].ExpiresAt.Equal(i.CertificateExpiresAt.Time.Truncate(time.Second)) {
					t.Errorf("%s: status says %v, cert list %v", i.Name, i.CertificateExpiresAt, certs[i.Node].ExpiresAt)
				}
			}
			r.seesExpiry(first)
			a, b := first.Instances[0], first.Instances[1]
			if got := r.must("rpc", r.app+"/"+a.Name, "net_adm:ping('"+b.Node+"')."); strings.TrimSpace(got) != "pong" {
				t.Errorf("%s pings %s: %q", a.Node, b.Node, got)
			}

			if language == "erlang" {
				if out := r.must("doctor", "dist", r.app); !strings.Contains(out, b.Node+" tls: TLS 1.3") || !strings.Contains(out, "ok    dist    "+a.Node+" link: the peer is connected with "+r.node) {
					t.Errorf("doctor dist %s:\n%s", r.app, out)
				}
				r.lookWithObserver()
			}

			// New certificates, the same links.
			since := r.linkTimes()
			r.must("cert", "rotate")
			if now := r.certs(); now[a.Node].Serial == certs[a.Node].Serial || now[r.node].Serial == certs[r.node].Serial {
				t.Error("rotate kept a certificate")
			}
			if again := r.linkTimes(); len(again) < 2 || again[a.Node] != since[a.Node] || again[b.Node] != since[b.Node] {
				t.Errorf("links since %v, before the rotation %v", again, since)
			}

			// Another daemon takes the same instances over, over new links.
			d.end(syscall.SIGKILL, -1)
			d = r.run("--with-instances")
			taken := r.await("both taken over", running(2, "0.1.0"))
			if osPIDs(taken)[a.Name] != osPIDs(first)[a.Name] {
				t.Errorf("taken over %v, before %v", osPIDs(taken), osPIDs(first))
			}
			r.await("both linked again", func(a api.App) bool {
				return len(a.Instances) == 2 && a.Instances[0].OTPConnected && a.Instances[1].OTPConnected
			})

			// One that is gone has no standing any more.
			r.must("scale", r.app, "1")
			left := r.await("one instance", running(1, "0.1.0")).Instances[0]
			if now := r.certs(); len(now) != 2 || now[left.Node].Serial == "" {
				t.Errorf("certificates after scale 1: %v", now)
			}
			d.end(syscall.SIGTERM, exitOK)
		})
	}
}

// seesExpiry looks for the certificates of the daemon and of the instances of an app in the metrics.
func (r *rig) seesExpiry(a api.App) {
	r.t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.dir, "beamkeeper.sock"))
	}}}
	defer c.CloseIdleConnections()
	res, err := c.Get("http://localhost/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	want := []string{`beamkeeper_certificate_expiry_timestamp_seconds{app="",slot=""} 1.`}
	for _, i := range a.Instances {
		at := strconv.FormatFloat(float64(i.CertificateExpiresAt.UnixMilli())/1000, 'g', -1, 64)
		want = append(want, fmt.Sprintf("beamkeeper_certificate_expiry_timestamp_seconds{app=%q,slot=\"%d\"} %s\n", a.Name, i.Slot, at))
	}
	for _, w := range want {
		if !strings.Contains(string(b), w) {
			r.t.Errorf("no %q in the metrics:\n%s", w, b)
		}
	}
}

// The key of an instance belongs to the user that the instance runs as.
func TestEndToEnd_OverTLSAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root starts instances as another user")
	}
	r := newRig(t, "erlang")
	if err := os.Chmod(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.useTLS("{mode: own_ca}")
	r.edit("    language: erlang", "    user: nobody\n    language: erlang")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	d := r.run("--with-instances")
	a := r.await("two instances over TLS", running(2, "0.1.0"))
	nobody, err := process.LookupAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range a.Instances {
		st, err := os.Stat(r.certs()[i.Node].File)
		if err != nil {
			t.Fatal(err)
		}
		if sys := st.Sys().(*syscall.Stat_t); sys.Uid != uint32(nobody.UID) || st.Mode().Perm() != 0o400 {
			t.Errorf("the key of %s belongs to %d, mode %v", i.Name, sys.Uid, st.Mode())
		}
	}
	d.end(syscall.SIGTERM, exitOK)
}

// An option file as DeployEx writes it, for a certificate that has another host in it.
func TestEndToEnd_OverTLSWithOptFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	f := foreignFiles(t, filepath.Join(r.dir, "given"), "somewhere.else.example.com")
	key, err := os.ReadFile(filepath.Join("..", "..", "tlsdist", "testdata", "keys", "sec1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	plain, optFile := f.key+".plain", filepath.Join(r.dir, "inet_tls.conf")
	options := `{certfile, "` + f.cert + `"}, {keyfile, "` + plain + `"}, {cacertfile, "` + f.ca + `"}, {verify, verify_peer}, {secure_renegotiate, true}`
	text := "[{server, [" + options + "]}, {client, [" + options + ", {server_name_indication, disable}]}].\n"
	if err := errors.Join(os.WriteFile(plain, key, 0o400), os.WriteFile(optFile, []byte(text), 0o400)); err != nil {
		t.Fatal(err)
	}
	r.useTLS("{mode: files, optfile: " + optFile + "}")
	d := r.run("--with-instances")
	r.await("two instances over TLS", running(2, "0.1.0"))
	if got := r.must("rpc", r.app, "init:get_argument(ssl_dist_optfile)."); !strings.Contains(got, optFile) {
		t.Errorf("the instances use %q", got)
	}
	d.end(syscall.SIGTERM, exitOK)
}

// What docs/tls.md says about turning TLS on, and about a new authority: instances that cannot be reached any more are
// restarted.
func TestEndToEnd_TLSBesideWhatRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	d := r.run()
	before := r.await("two instances over TCP", running(2, "0.1.0"))
	for _, change := range []struct {
		name string
		make func() error
	}{
		{"turned on", func() error { r.useTLS("{mode: own_ca}"); return nil }},
		{"a new authority", func() error { return os.Rename(filepath.Join(r.dir, "var", "tls"), filepath.Join(r.dir, "old-tls")) }},
	} {
		d.end(syscall.SIGTERM, exitOK)
		if err := change.make(); err != nil {
			t.Fatal(err)
		}
		d = r.run()
		r.await(change.name+": the instances go on", func(a api.App) bool {
			return len(a.Instances) == 2 && fmt.Sprint(osPIDs(a)) == fmt.Sprint(osPIDs(before))
		})
		r.must("restart", r.app)
		after := r.await(change.name+": two instances", running(2, "0.1.0"))
		for name, pid := range osPIDs(after) {
			if osPIDs(before)[name] == pid {
				t.Errorf("%s: %s was not restarted", change.name, name)
			}
		}
		if got := r.must("rpc", r.app, "init:get_argument(proto_dist)."); !strings.Contains(got, "inet_tls") {
			t.Errorf("%s: the instances speak %q", change.name, got)
		}
		before = after
	}
	r.must("stop", r.app)
	d.end(syscall.SIGTERM, exitOK)
}

// lookWithObserver has a BEAM with a certificate of `cert issue` connect to the daemon, and one without fail to.
func (r *rig) lookWithObserver() {
	r.t.Helper()
	var c certificateJSON
	if err := json.Unmarshal([]byte(r.must("cert", "issue", "observer", "--json")), &c); err != nil {
		r.t.Fatal(err)
	}
	cookie, err := os.ReadFile(filepath.Join(r.dir, "var", "cookie"))
	if err != nil {
		r.t.Fatal(err)
	}
	var port int
	for _, kv := range r.env {
		if value, ok := strings.CutPrefix(kv, "ERL_EPMD_PORT="); ok {
			if port, err = strconv.Atoi(value); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	otp := nodetest.WantAny(r.t)
	for args, want := range map[string]string{"-proto_dist inet_tls -ssl_dist_optfile " + c.OptFile: "pong", "-kernel logger_level none": "pang"} {
		e := nodetest.StartErl(r.t, otp, c.Node, strings.TrimSpace(string(cookie)), port, append(strings.Fields(args), "-hidden")...)
		if got := e.Eval("net_adm:ping('" + r.node + "')"); got != want {
			r.t.Errorf("%s with %s: %s, want %s", c.Node, args, got, want)
		}
		e.Kill()
	}
	r.must("cert", "retire", "observer")
}

// linkTimes tells since when the daemon is linked with each node.
func (r *rig) linkTimes() map[string]string {
	r.t.Helper()
	var nodes []api.NodeInfo
	if err := json.Unmarshal([]byte(r.must("nodes", "--json")), &nodes); err != nil {
		r.t.Fatal(err)
	}
	times := map[string]string{}
	for _, n := range nodes {
		if n.State == "up" {
			times[n.Name] = n.Since.String()
		}
	}
	return times
}

// Certificates that somebody else looks after, with an encrypted key.
func TestEndToEnd_OverTLSWithFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	_, host, _ := strings.Cut(r.node, "@")
	dir := filepath.Join(r.dir, "given")
	f := foreignFiles(t, dir, host)
	r.useTLS("{mode: files, ca_file: " + f.ca + ", cert_file: " + f.cert + ", key_file: " + f.key + ", password_file: " + f.password + "}")
	d := r.run("--with-instances")
	a := r.await("two instances over TLS", running(2, "0.1.0"))
	if got := r.must("rpc", r.app, "init:get_argument(proto_dist)."); !strings.Contains(got, "inet_tls") {
		t.Errorf("the instances speak %q", got)
	}
	if a.Instances[0].CertificateExpiresAt.IsZero() {
		t.Error("the status does not say when the certificate expires")
	}
	if out, _, _ := r.command("doctor", "dist"); !strings.Contains(out, f.cert+" expires in 23h") {
		t.Errorf("doctor does not warn of a certificate with a day left:\n%s", out)
	}
	if list := r.certs(); len(list) != 1 || list[""].Hosts[0] != host {
		t.Errorf("cert list: %+v", list)
	}
	if out := r.must("status"); !strings.Contains(out, "the certificate of node.tls expires at") {
		t.Errorf("status does not warn of a certificate with a day left:\n%s", out)
	}
	d.end(syscall.SIGTERM, exitOK)
}

func TestCert_VerbsWithoutDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	if _, stderr, code := r.command("cert", "list"); code != exitRefused || !strings.Contains(stderr, "node.tls.mode to own_ca") {
		t.Errorf("cert list with mode off: code %d, %s", code, stderr)
	}
	r.useTLS("{mode: own_ca}")
	doctor := func() string { out, _, _ := r.command("doctor", "dist"); return out }
	if out := doctor(); !strings.Contains(out, "tls: own authority, to be made in") {
		t.Errorf("doctor before the first use:\n%s", out)
	}
	out := r.must("cert", "issue", "observer")
	_, host, _ := strings.Cut(r.node, "@")
	if !strings.Contains(out, "observer@"+host) || !strings.Contains(out, "-proto_dist inet_tls -ssl_dist_optfile "+r.dir) {
		t.Errorf("cert issue prints\n%s", out)
	}
	if out := doctor(); !strings.Contains(out, "tls: own_ca, 1 certificate\n") {
		t.Errorf("doctor:\n%s", out)
	}
	if pem := r.must("cert", "export"); !strings.HasPrefix(pem, "-----BEGIN CERTIFICATE-----") {
		t.Errorf("cert export prints %q", pem)
	}
	if out := r.must("cert", "show", "ca"); !strings.Contains(out, "ca.crt") {
		t.Errorf("cert show ca prints %q", out)
	}
	copies := filepath.Join(r.dir, "copies")
	r.must("cert", "export", "observer", "--dir", copies, "--at", "/etc/observer")
	b, err := os.ReadFile(filepath.Join(copies, "inet_tls.conf"))
	if err != nil || !strings.Contains(string(b), `"/etc/observer/node.pem"`) {
		t.Errorf("exported option file: %s, %v", b, err)
	}
	before := r.certs()["observer@"+host]
	r.must("cert", "rotate", "observer")
	if after := r.certs()["observer@"+host]; after.Serial == before.Serial {
		t.Error("rotate kept the certificate")
	}
	r.must("cert", "retire", "observer")
	for _, verb := range []string{"show", "rotate", "retire"} {
		if _, _, code := r.command("cert", verb, "observer"); code != exitNotFound {
			t.Errorf("cert %s of a retired node: code %d", verb, code)
		}
	}
	if err := os.Chmod(filepath.Join(r.dir, "var", "tls", "ca.key"), 0o444); err != nil {
		t.Fatal(err)
	}
	if out := doctor(); !strings.Contains(out, "fail  dist    tls: ") || !strings.Contains(out, "chmod 0400") {
		t.Errorf("doctor with a key for everybody:\n%s", out)
	}
	if err := os.Chmod(filepath.Join(r.dir, "var", "tls", "ca.key"), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, _, code := r.command("cert", "issue", "a@127.0.0.1"); code != exitRefused {
		t.Errorf("cert issue for an address: code %d", code)
	}
	if _, _, code := r.command("cert", "export", "observer"); code != exitUsage {
		t.Errorf("cert export NODE without --dir: code %d", code)
	}
}
