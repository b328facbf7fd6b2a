package main

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/node"
)

func TestAllowed_InstancesAndNamedNodes(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Node: config.Node{Allow: []string{"observer@*", "ops-?@bastion"}}, Applications: []config.App{{Name: "shop"}, {Name: "my-app"}}}
	self := node.Name{Alive: "beamkeeper", Host: "host"}
	for name, want := range map[string]bool{
		"shop-abc123@host": true, "my-app-abc123@host": true, "observer@anywhere": true, "ops-1@bastion": true,
		"shop-abc123@elsewhere": false, "shop-abc1234@host": false, "other-abc123@host": false, "shop@host": false,
		"ops-12@bastion": false, "-abc123@host": false, "observer2@host": false,
	} {
		peer, err := node.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := allowed(cfg, self, peer); got != want {
			t.Errorf("allowed(%s) = %t, want %t", name, got, want)
		}
	}
}

func TestCookies_OfAPeerAreThoseOfItsApp(t *testing.T) {
	t.Parallel()
	c := cookies{node: "n", apps: map[string]node.Cookie{"shop": "s", "cart": "n"}}
	for name, want := range map[string]node.Cookie{"shop-abc123@h": "s", "cart-abc123@h": "n", "other-abc123@h": "", "observer@h": ""} {
		peer, err := node.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.of(peer); string(got) != string(want) {
			t.Errorf("of(%s) = %q, want %q", name, string(got), string(want))
		}
	}
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"shop": "shop", "shop/shop-abc123": "shop/shop-abc123", "shop/abc123": "shop/shop-abc123", "my-app": "my-app"} {
		if got, err := parseTarget(text); err != nil || got.String() != want {
			t.Errorf("parseTarget(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/", "shop/", "/x", "a/b/c"} {
		if got, err := parseTarget(text); err == nil {
			t.Errorf("parseTarget(%q) = %s, want an error", text, got)
		}
	}
}

func TestOutliveLogReader_LeavesProgramsTheirSIGPIPE(t *testing.T) {
	t.Parallel()
	outliveLogReader()
	out, err := exec.Command("grep", "SigIgn", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	mask, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(string(out), "SigIgn:")), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	if mask&(1<<(syscall.SIGPIPE-1)) != 0 {
		t.Errorf("a program that we start ignores SIGPIPE: %s", out)
	}
}
