package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// Instances with certificates of the daemon's authority and a cookie of their app's connect to each other.
func TestEndToEnd_MeshOverTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	cookie := filepath.Join(r.dir, "sample.cookie")
	if err := os.WriteFile(cookie, []byte("the-cookie-of-the-app"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.useTLS("{mode: own_ca}")
	r.edit("    language: erlang", "    cluster: mesh\n    cookie_file: "+cookie+"\n    language: erlang")
	if out := r.must("config", "check"); strings.Contains(out, "cluster") {
		t.Errorf("config check says %q", out)
	}
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	d := r.run("--with-instances")
	a := r.await("two that see each other", func(a api.App) bool {
		return running(2, "0.1.0")(a) && slices.Equal(a.Instances[0].Sees, []string{a.Instances[1].Name}) &&
			slices.Equal(a.Instances[1].Sees, []string{a.Instances[0].Name})
	})
	for n, i := range a.Instances {
		other := a.Instances[1-n]
		if got := r.must("rpc", r.app+"/"+i.Name, "erlang:nodes()."); strings.TrimSpace(got) != "['"+other.Node+"']" {
			t.Errorf("nodes() of %s: %q", i.Name, got)
		}
		if got := r.must("rpc", r.app+"/"+i.Name, "erlang:get_cookie()."); strings.TrimSpace(got) != "'the-cookie-of-the-app'" {
			t.Errorf("cookie of %s: %q", i.Name, got)
		}
		if got := r.must("status"); !strings.Contains(got, "sees "+other.Name) {
			t.Errorf("status says\n%s", got)
		}
	}
	d.end(syscall.SIGTERM, exitOK)
}
