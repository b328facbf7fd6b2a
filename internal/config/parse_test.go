package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/beamkeeper/beamkeeper.yaml", []byte(text))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

func mustLoad(t *testing.T, file string) *Config {
	t.Helper()
	c, err := Load(file)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// problemsOf parses a file that must be refused.
func problemsOf(t *testing.T, text string) []Problem {
	t.Helper()
	c, err := Parse("beamkeeper.yaml", []byte(text))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Parse = %v, %v, want an *Error", c, err)
	}
	if len(e.Problems) == 0 {
		t.Fatal("an *Error without problems")
	}
	return e.Problems
}

func TestParse_EmptyFileHasEveryDefault(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "---\n", "~\n", "applications:\nnode:\n", "{}"} {
		c := mustParse(t, text)
		if c.VarPath != "/var/lib/beamkeeper" || c.LogPath != "" || c.MonitoredAppLogPath != "/var/log/monitored-apps" ||
			c.Control.Socket != "/run/beamkeeper/beamkeeper.sock" || c.ReleaseBucket != "/var/lib/beamkeeper/bucket" {
			t.Errorf("%q: paths are %+v", text, c)
		}
		if c.ReleaseAdapter != ReleaseLocal || c.SecretsAdapter != SecretsNone || c.AccountName != "local" || len(c.Applications) != 0 {
			t.Errorf("%q: %+v", text, c)
		}
		want := Node{Name: "beamkeeper", Visibility: "hidden", RemoteStop: "refuse", Listen: "127.0.0.1:0", Allow: []string{"observer@*"},
			NetTickTime: time.Minute, ConnectTimeout: 7 * time.Second, SendBufferBytes: 1 << 20, MaxSendBuffer: 64 << 20, MaxMessageBytes: 256 << 20,
			MaxLinks: 4096, MaxCalls: 4096, TLS: NodeTLS{Mode: "off"}}
		if !reflect.DeepEqual(c.Node, want) {
			t.Errorf("%q: node = %+v, want %+v", text, c.Node, want)
		}
		if want := (Release{Verify: "if_present", RefuseDowngrade: true, KeepReleases: 3, MaxUnpackedBytes: 4 << 30, MaxEntries: 200_000}); !reflect.DeepEqual(c.Release, want) {
			t.Errorf("%q: release = %+v, want %+v", text, c.Release, want)
		}
	}
}

func TestParse_AppDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "applications: [{name: shop}]")
	want := App{
		Name: "shop", Language: Elixir, Replicas: 3, DeployRollbackTimeout: 10 * time.Minute, DeployScheduleInterval: 5 * time.Second,
		Readiness:  Readiness{Timeout: time.Minute, Application: "shop", Successes: 1},
		Strategy:   Strategy{MaxParallel: 1},
		Stop:       Stop{Timeout: 15 * time.Second},
		CrashLoop:  CrashLoop{Limit: 10, Window: 10 * time.Minute},
		HotUpgrade: HotUpgrade{Enabled: true, Soak: time.Minute, Commit: "auto", Strategy: "canary", Fallback: "full", Install: 10 * time.Minute}, PreCommandsTimeout: 10 * time.Minute, PreCommandsFailure: "fail",
		Cluster: "none", SecretsRotation: "next_start",
		Sandbox: Sandbox{Preset: "none", ProtectSystem: "off", ProtectHome: "off"},
		Logs: AppLogs{
			Target: "file", MaxBytes: 20 << 20, MaxAge: 24 * time.Hour, Archives: 7, Bytes: 4 << 30, GoneInstances: 20, GoneAge: 14 * 24 * time.Hour,
		},
		CrashDump: CrashDump{Enabled: true, Timeout: 30 * time.Second, MaxBytes: 512 << 20, Keep: 5, KeepBytes: 2 << 30},
	}
	if got := c.Applications[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("app = %+v, want %+v", got, want)
	}
}

// An app has the settings of the section logs, save those it sets itself, be it to 0.
func TestParse_AppLogs(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "logs: {archives: 3, bytes: 1GiB, target: both}\napplications:\n  - {name: a, logs: {bytes: 0, target: file}}\n  - {name: b}\n")
	a, b := c.Applications[0].Logs, c.Applications[1].Logs
	if a.Archives != 3 || a.Bytes != 0 || a.Target != "file" || b.Archives != 3 || b.Bytes != 1<<30 || b.Target != "both" {
		t.Errorf("logs of the apps: %+v and %+v", a, b)
	}
}

func TestLoad_DeployExFile(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "testdata/deployex.yaml")
	if c.AccountName != "prod" || c.Port != 5001 || c.OTPVersion != "28" || c.VarPath != "/var/lib/deployex" || c.SecretsAdapter != SecretsEnv {
		t.Errorf("top level: %+v", c)
	}
	if c.LogsRetention != 2*time.Hour || c.MetricsRetention != time.Hour {
		t.Errorf("retention = %s, %s", c.LogsRetention, c.MetricsRetention)
	}
	if got, want := c.Monitoring[:2], []HostMonitor{{"memory", false, 70, 95}, {"atom", true, 75, 90}}; !reflect.DeepEqual(got, want) {
		t.Errorf("monitoring = %+v, want %+v", got, want)
	}
	if n := c.Notifications; n[0].Enabled || !n[1].Enabled || n[0].Options.Username != "DeployEx" || n[1].Options.IconEmoji != ":rocket:" ||
		n[2].URL != "https://events.pagerduty.com/v2/enqueue" || n[2].Options.RoutingKey != "0123456789abcdef" {
		t.Errorf("notifications = %+v", n)
	}
	shop := c.Applications[0]
	env := make(map[string]string)
	for _, e := range shop.Env {
		env[e.Key] = e.Value
	}
	for key, want := range map[string]string{
		"SHOP_PHX_SERVER": "true", "SHOP_POOL": "1000", "SHOP_RATIO": "1.10", "SHOP_MODE": "0644",
		"SHOP_MOTTO": "costs $5; 'no' more", "SHOP_NOTHING": "", "SECRET_KEY_BASE": "not for your eyes",
	} {
		if got, ok := env[key]; !ok || got != want {
			t.Errorf("env %s = %q, %t, want %q", key, got, ok, want)
		}
	}
	if got, want := shop.Ports(2), (map[string]int{"PORT": 4002, "METRICS_PORT": 9002}); !reflect.DeepEqual(got, want) || shop.Slots() != 3 {
		t.Errorf("ports of slot 2 = %v, want %v; slots = %d", got, want, shop.Slots())
	}
	cert := shop.Certificates[0]
	if cert.CheckInterval != 24*time.Hour || cert.DNSOptions.APIToken != "cf-token" || cert.Storage.PrivateKeyPath != "/etc/shop/key.pem" || len(cert.Domains) != 2 {
		t.Errorf("certificate = %+v", cert)
	}
	if c.Applications[1].Replicas != 3 || c.Applications[1].Language != Erlang || c.Applications[2].Language != Gleam {
		t.Errorf("applications = %+v", c.Applications[1:])
	}
}

func TestLoad_OwnSections(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "testdata/full.yaml")
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]struct{ got, want string }{
		"var_path":       {c.VarPath, "data"},
		"release_bucket": {c.ReleaseBucket, "releases"},
		"socket":         {c.Control.Socket, "run/control.sock"},
		"cookie_file":    {c.Node.CookieFile, "secrets/cookie"},
		"app's cookie":   {c.Applications[0].CookieFile, "secrets/shop.cookie"},
		"CookiePath":     {c.CookiePath(), "data/cookie"},
	} {
		if p.got != filepath.Join(dir, p.want) {
			t.Errorf("%s = %s, want it below %s", name, p.got, dir)
		}
	}
	if c.Node.SendBufferBytes != 2<<20 || c.Node.MaxSendBuffer != 16<<20 || c.Node.MaxLinks != 100 || c.Node.MaxCalls != 512 || c.Release.MaxUnpackedBytes != 3<<29 || c.Release.MaxEntries != 50_000 || c.Node.NetTickTime != 8*time.Second {
		t.Errorf("node = %+v, release = %+v", c.Node, c.Release)
	}
	shop := c.Applications[0]
	if len(shop.AllowDeploys) != 2 || shop.History != 50 || c.History != 100 {
		t.Errorf("deploy windows %q, history %d, %d", shop.AllowDeploys, shop.History, c.History)
	}
	if one := mustParse(t, "applications: [{name: a, allow_deploys: Mon 09:00-17:00 UTC}]"); !slices.Equal(one.Applications[0].AllowDeploys, []string{"Mon 09:00-17:00 UTC"}) {
		t.Errorf("one deploy window: %q", one.Applications[0].AllowDeploys)
	}
	if got, want := shop.Readiness, (Readiness{Timeout: 2 * time.Minute, Application: "shop_web", Successes: 3,
		Probe: &Probe{HTTP: "http://127.0.0.1:${PORT}/health", Interval: 100 * time.Millisecond, Timeout: time.Second}}); !reflect.DeepEqual(got, want) {
		t.Errorf("readiness with a merged section = %+v, want %+v", got, want)
	}
	others := []Hook{{Run: Command{"/usr/local/bin/done"}, Timeout: time.Minute, OnFailure: "ignore"},
		{Run: Command{"drain", "5"}, Timeout: 5 * time.Second, OnFailure: "ignore"}, {RPC: "shop:hello()", Timeout: time.Minute, OnFailure: "ignore"}}
	upgrade := slices.Clone(others)
	upgrade[0].OnFailure, upgrade[2].OnFailure = "abort", "abort"
	if got, want := shop.Hooks, (Hooks{
		BeforeDeploy: []Hook{{Run: Command{"/usr/local/bin/notify", "--token=abc", "a b"}, Timeout: time.Minute, OnFailure: "abort"},
			{RPC: "shop:hello()", Timeout: 5 * time.Second, OnFailure: "ignore"}, {Run: Command{"/usr/local/bin/check"}, Timeout: 5 * time.Second, OnFailure: "abort"}},
		AfterDeploy: others, BeforeStop: others, AfterStop: others, BeforeUpgrade: upgrade, AfterUpgrade: others, OnRollback: others,
	}); !reflect.DeepEqual(got, want) || shop.PreCommandsTimeout != 30*time.Second {
		t.Errorf("hooks = %+v, want %+v", got, want)
	}
	if shop.Limits != (Limits{MemoryMax: 2 << 30, MemoryHigh: 1536 << 20, CPUQuota: 200, TasksMax: 4096}) || shop.CrashLoop != (CrashLoop{3, time.Minute}) || shop.User != "shop" {
		t.Errorf("app = %+v", shop)
	}
	if got := c.Applications[2].Readiness.Probe.RPC; got != "'birds@health':ready()" {
		t.Errorf("rpc probe m:f/0 = %s", got)
	}
	if got := c.Applications[3].Readiness.Probe; !reflect.DeepEqual(got.Exec, Command{"/bin/test", "-e", "${HOME}/ready"}) || got.Interval != 250*time.Millisecond {
		t.Errorf("exec probe = %+v", got)
	}
}

func TestLoad_MissingFile(t *testing.T) {
	t.Parallel()
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load = %v, want fs.ErrNotExist", err)
	}
}

func TestLoad_FileTooLarge(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(file, []byte(strings.Repeat("# comment\n", MaxFileBytes/10+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := Load(file); !errors.As(err, &e) || !strings.Contains(err.Error(), "larger than 1MiB") {
		t.Errorf("Load = %v", err)
	}
}

// refused are files with one problem each. The schema says whether the JSON Schema refuses the file as well.
var refused = []struct {
	name   string
	text   string
	kind   Kind
	line   int
	column int
	path   string
	text2  string // in message or hint
	schema bool
}{
	// not YAML
	{"tab", "node:\n  name: a\n\thost: b\n", KindSyntax, 3, 1, "", "spaces, not with tabs", false},
	{"two colons", "# x\nnode:\n  name: a: b\n", KindSyntax, 3, 1, "", "mapping values are not allowed", false},
	{"second document", "port: 1\n---\nport: 2\n", KindSyntax, 2, 1, "", "second document", false},
	{"bad second document", "port: 1\n---\na: b: c\n", KindSyntax, 3, 1, "", "mapping values", false},
	{"unknown alias", "node: *none\n", KindSyntax, 1, 1, "", "none", false},

	// keys
	{"unknown key with a near one", "account_name: x\nrelase_bucket: y\n", KindUnknown, 2, 1, "relase_bucket", "did you mean release_bucket?", true},
	{"unknown key in an app", "applications:\n  - name: a\n    replcias: 2\n", KindUnknown, 3, 5, "applications[0].replcias", "did you mean replicas?", true},
	{"key at the wrong level", "replica_ports: []\n", KindUnknown, 1, 1, "replica_ports", "it belongs under applications[]", true},
	{"key of the top level in a section", "node:\n  var_path: /x\n", KindUnknown, 2, 3, "node.var_path", "it belongs under the top level", true},
	{"unknown key without a near one", "control:\n  xyzzy_quux: 1\n", KindUnknown, 2, 3, "control.xyzzy_quux", "known here: socket", true},
	{"key given twice", "port: 1\nhostname: h\nport: 2\n", KindDuplicate, 3, 1, "port", "already set in line 1", false},
	{"key that is a list", "? [a]\n: 1\n", KindType, 1, 3, "", "a key must be a word", false},
	{"merge of a number", "node:\n  <<: 5\n", KindType, 2, 7, "node.<<", "must be an alias of a section", false},
	{"x- key below the top", "node:\n  x-a: 1\n", KindUnknown, 2, 3, "node.x-a", "", true},

	// types
	{"list for the file", "- port: 1\n", KindType, 1, 1, "", "must be a section (KEY: VALUE lines), not a list", true},
	{"text for a section", "node: keeper\n", KindType, 1, 7, "node", `not the text "keeper"`, true},
	{"section for a list", "applications:\n  name: a\n", KindType, 2, 3, "applications", "must be a list, not a section", true},
	{"text for an integer", "port: http\n", KindType, 1, 7, "port", `must be a whole number, not the text "http"`, true},
	{"quoted integer", "port: \"5001\"\n", KindType, 1, 7, "port", "remove the quotes", true},
	{"fraction for an integer", "port: 50.5\n", KindType, 1, 7, "port", "must be a whole number, not 50.5", true},
	{"integer with a leading zero", "port: 05001\n", KindType, 1, 7, "port", "", false},
	{"duration with a unit", "applications:\n  - name: a\n    stop: {timeout_ms: 15s}\n", KindType, 3, 24, "applications[0].stop.timeout_ms", "write 15000", true},
	{"window that is none", "applications:\n  - name: a\n    allow_deploys: Mon-Fry 09:00-17:00\n", KindValue, 3, 20, "applications[0].allow_deploys[0]", "write it as Mon-Fri", false},
	{"window in an unknown zone", "applications:\n  - name: a\n    allow_deploys:\n      - Mon 09:00-17:00 UTC\n      - Tue 09:00-17:00 Berlin\n", KindValue, 5, 9, "applications[0].allow_deploys[1]", "write it as Mon-Fri", false},
	{"window that is a number", "applications:\n  - name: a\n    allow_deploys: [900]\n", KindType, 3, 21, "applications[0].allow_deploys[0]", "", true},
	{"windows in a section", "applications:\n  - name: a\n    allow_deploys: {a: b}\n", KindType, 3, 20, "applications[0].allow_deploys", "", true},
	{"no history", "history_retention: 0\n", KindValue, 1, 20, "history_retention", "", true},
	{"text for true or false", "applications:\n  - name: a\n    hot_upgrade: {enabled: maybe}\n", KindType, 3, 28, "applications[0].hot_upgrade.enabled", "write true or false", true},
	{"quoted boolean", "notifications: [{adapter: webhook, url: 'http://h', enabled: 'true'}]\n", KindType, 1, 62, "notifications[0].enabled", "remove the quotes", true},
	{"number for text", "node:\n  name: 42\n", KindType, 2, 9, "node.name", `put it in quotes: "42"`, true},
	{"list for text", "node:\n  name: [a]\n", KindType, 2, 9, "node.name", "must be text, not a list", true},
	{"number in a list of text", "node:\n  allow:\n    - a@b\n    - 7\n", KindType, 4, 7, "node.allow[1]", "must be text, not 7", true},
	{"nothing in a list of text", "node: {allow: [a@b, ~]}\n", KindType, 1, 21, "node.allow[1]", "not nothing", true},
	{"section for an env value", "applications:\n  - name: a\n    env: [{key: A, value: {b: c}}]\n", KindType, 3, 27, "applications[0].env[0].value", "not a section", true},
	{"no size", "release: {max_unpacked_bytes: 4 Gigs}\n", KindType, 1, 31, "release.max_unpacked_bytes", "is not a size such as 4GiB", true},
	{"no percentage", "applications: [{name: a, limits: {cpu_quota: half}}]\n", KindType, 1, 46, "applications[0].limits.cpu_quota", "is not a percentage", true},
	{"text in a list of apps", "applications: [shop]\n", KindType, 1, 16, "applications[0]", "must be a section", true},
	{"section in a command", "applications: [{name: a, hooks: {after_stop: [[{run: x}]]}}]\n", KindType, 1, 48, "applications[0].hooks.after_stop[0]", "must be a list [PROGRAM, ARGUMENT]", true},
	{"hook of two kinds", "applications: [{name: a, hooks: {after_stop: [{run: x, rpc: 'm:f()'}]}}]\n", KindClash, 1, 47, "applications[0].hooks.after_stop[0]", "has run and rpc", true},
	{"hook of none", "applications: [{name: a, hooks: {after_stop: [{timeout_ms: 1}]}}]\n", KindMissing, 1, 47, "applications[0].hooks.after_stop[0]", "does nothing", true},
	{"hook that cannot abort", "applications: [{name: a, hooks: {after_stop: [{run: x, on_failure: abort}]}}]\n", KindValue, 1, 56, "applications[0].hooks.after_stop[0].on_failure", "cannot abort", false},
	{"hook that calls nothing", "applications: [{name: a, hooks: {after_stop: [{rpc: hello}]}}]\n", KindValue, 1, 48, "applications[0].hooks.after_stop[0].rpc", "is not a call", false},

	// values
	{"unknown word", "release_adapter: locale\n", KindValue, 1, 18, "release_adapter", "did you mean local?", true},
	{"unknown event", "notifications:\n  - adapter: webhook\n    url: https://h/x\n    events: [all, crash_restarts]\n", KindValue, 4, 19, "notifications[0].events[1]", "did you mean crash_restart?", true},
	{"below the bounds", "port: 0\n", KindValue, 1, 7, "port", "from 1 to 65535", true},
	{"above the bounds", "applications: [{name: a, replicas: 1001}]\n", KindValue, 1, 36, "applications[0].replicas", "from 0 to 1000", true},
	{"size below the bounds", "release: {max_unpacked_bytes: 1KiB}\n", KindValue, 1, 31, "release.max_unpacked_bytes", "at least 1MiB", false},
	{"account name with a slash", "account_name: ../up\n", KindValue, 1, 15, "account_name", "letters, digits", true},
	{"app name with a space", "applications:\n  - name: my shop\n", KindValue, 2, 11, "applications[0].name", "letters, digits", true},
	{"app name with a path", "applications:\n  - name: ../shop\n", KindValue, 2, 11, "applications[0].name", "letters, digits", true},
	{"gleam name with a -", "applications:\n  - name: my-birds\n    language: gleam\n", KindValue, 2, 5, "applications[0].name", "has no -", false},
	{"node name with an @", "node: {name: a@b}\n", KindValue, 1, 14, "node.name", "before the @", true},
	{"home folder", "var_path: ~/beamkeeper\n", KindValue, 1, 11, "var_path", "not replaced by a home folder", false},
	{"root folder", "var_path: /\n", KindValue, 1, 1, "var_path", "root of the file system", false},
	{"long socket", "control:\n  socket: /" + strings.Repeat("a", 107) + "\n", KindValue, 2, 3, "control.socket", "the path has 108 bytes", false},
	{"address without a port", "node: {listen: localhost}\n", KindValue, 1, 8, "node.listen", "not an address HOST:PORT", false},
	{"address with a bad port", "node: {epmd: 'localhost:0'}\n", KindValue, 1, 8, "node.epmd", "from 1 to 65535", false},
	{"pattern without a host", "node: {allow: [observer]}\n", KindValue, 1, 16, "node.allow[0]", "not a pattern of node names", false},
	{"notification without a scheme", "notifications:\n  - adapter: webhook\n    url: example.org\n", KindValue, 3, 5, "notifications[0].url", "begins with http:// or https://", false},
	{"variable with a -", "applications:\n  - name: a\n    env: [{key: A-B, value: 1}]\n", KindValue, 3, 17, "applications[0].env[0].key", "the name of a variable", true},
	{"zero byte", "applications:\n  - name: a\n    env: [{key: A, value: \"x\\0\"}]\n", KindValue, 3, 27, "applications[0].env[0].value", "zero byte", false},
	{"ports above the highest", "applications:\n  - name: a\n    replicas: 2\n    replica_ports: [{key: PORT, base: 65534}]\n", KindValue, 4, 33, "applications[0].replica_ports[0].base", "65534 to 65536", false},
	{"probe with an unknown variable", "applications:\n  - name: a\n    replica_ports: [{key: PORT, base: 4000}]\n    readiness:\n      probe: {http: 'http://127.0.0.1:${PROT}/'}\n", KindValue, 5, 15, "applications[0].readiness.probe.http", "did you mean ${PORT}?", false},
	{"probe with an open variable", "applications: [{name: a, readiness: {probe: {exec: [echo, '${PATH']}}}]\n", KindValue, 1, 46, "applications[0].readiness.probe.exec", "${ without }", false},
	{"probe without a host", "applications: [{name: a, readiness: {probe: {http: '/health'}}}]\n", KindValue, 1, 46, "applications[0].readiness.probe.http", "is not a URL", false},
	{"probe that is no call", "applications: [{name: a, readiness: {probe: {rpc: 'ready'}}}]\n", KindValue, 1, 46, "applications[0].readiness.probe.rpc", "is not a call", false},
	{"command in one text", "applications: [{name: a, readiness: {probe: {exec: 'test -e x'}}}]\n", KindValue, 1, 52, "applications[0].readiness.probe.exec", "no shell takes it apart", false},

	// what is missing
	{"app without a name", "applications:\n  - language: erlang\n", KindMissing, 2, 5, "applications[0].name", "missing", true},
	{"app with an empty name", "applications:\n  - name: ''\n", KindMissing, 2, 11, "applications[0].name", "must not be empty", true},
	{"port without a base", "applications:\n  - name: a\n    replica_ports:\n      - key: PORT\n", KindMissing, 4, 9, "applications[0].replica_ports[0].base", "missing", true},
	{"empty entry", "applications:\n  -\n", KindMissing, 2, 4, "applications[0].name", "missing", true},
	{"webhook without a URL", "notifications:\n  - adapter: webhook\n", KindMissing, 2, 5, "notifications[0].url", "missing", false},
	{"pagerduty without a key", "notifications:\n  - adapter: pagerduty\n", KindMissing, 2, 5, "notifications[0].options.routing_key", "pagerduty needs it", false},
	{"certificate without an importer", "applications:\n  - name: a\n    certificates:\n      - {dns_provider: route53, acme_provider: lets_encrypt}\n", KindMissing, 4, 9, "applications[0].certificates[0].importer", "missing", true},
	{"grant without rights", "node: {grant: [{nodes: 'a@*'}]}\n", KindMissing, 1, 16, "node.grant[0].rights", "", true},
	{"grant of another right", "node: {grant: [{nodes: 'a@*', rights: all}]}\n", KindValue, 1, 39, "node.grant[0].rights", "", true},
	{"grant to no pattern", "node: {grant: [{nodes: panel, rights: read}]}\n", KindValue, 1, 17, "node.grant[0].nodes", "is not a pattern of node names", false},
	{"probe of the API that is off", "applications:\n  - name: a\n    readiness:\n      probe: {api: false}\n", KindMissing, 4, 7, "applications[0].readiness.probe", "asks nothing", true},
	{"two probes", "applications: [{name: a, readiness: {probe: {tcp: '127.0.0.1:80', api: true}}}]\n", KindClash, 1, 38, "applications[0].readiness.probe", "has tcp and api", true},
	{"probe that asks nothing", "applications:\n  - name: a\n    readiness:\n      probe: {interval_ms: 100}\n", KindMissing, 4, 7, "applications[0].readiness.probe", "give one of http, tcp, rpc, exec and api", true},
	{"command without a program", "applications: [{name: a, hooks: {after_stop: [[]]}}]\n", KindMissing, 1, 47, "applications[0].hooks.after_stop[0]", "names no program", true},
	{"certificate without its key", "web:\n  tls:\n    cert_file: a.pem\n", KindMissing, 2, 3, "web.tls.key_file", "missing beside cert_file", false},

	// what is there twice, or contradicts
	{"two apps of one name", "applications:\n  - name: a\n  - name: a\n", KindDuplicate, 3, 5, "applications[1].name", "applications[0] already", false},
	{"variable twice", "applications:\n  - name: a\n    env:\n      - {key: A, value: 1}\n      - {key: A, value: 2}\n", KindDuplicate, 5, 10, "applications[0].env[1].key", "set by env[0] already", false},
	{"variable that is a port too", "applications:\n  - name: a\n    replica_ports: [{key: PORT, base: 4000}]\n    env: [{key: PORT, value: 80}]\n", KindDuplicate, 4, 12, "applications[0].env[0].key", "set by replica_ports[0] already", false},
	{"watched twice", "monitoring: [{type: memory}, {type: memory}]\n", KindDuplicate, 1, 31, "monitoring[1].type", "watched by monitoring[0] already", false},
	{"variable of the daemon", "applications:\n  - name: a\n    env: [{key: RELEASE_NODE, value: x}]\n", KindClash, 3, 12, "applications[0].env[0].key", "set by the daemon", false},
	{"ports of two apps", "applications:\n  - name: a\n    replicas: 3\n    replica_ports: [{key: PORT, base: 4000}]\n  - name: b\n    replicas: 1\n    replica_ports: [{key: PORT, base: 4003}]\n", KindClash, 7, 33, "applications[1].replica_ports[0].base", `ports 4003 to 4004 are those of PORT of app "a" (4000 to 4003); from 4004 on there is room`, false},
	{"ports of one app", "applications:\n  - name: a\n    replicas: 1\n    replica_ports: [{key: A, base: 4001}, {key: B, base: 4000}]\n", KindClash, 4, 52, "applications[0].replica_ports[1].base", "are those of A of app", false},
	{"port of the dashboard", "web: {listen: ':4001'}\napplications:\n  - name: a\n    replica_ports: [{key: PORT, base: 4000}]\n", KindClash, 4, 33, "applications[0].replica_ports[0].base", "are those of web.listen (4001)", false},
	{"daemon named like an instance", "node: {name: shop-keeper}\napplications: [{name: shop}]\n", KindClash, 1, 8, "node.name", "looks like the name of an instance", false},
	{"TLS to an address", "node:\n  host: 127.0.0.1\n  tls: {mode: own_ca}\n", KindClash, 2, 3, "node.host", "over TLS a BEAM connects to names only", false},
	{"warning above the restart", "monitoring: [{type: memory, warning_threshold_percent: 95}]\n", KindClash, 1, 29, "monitoring[0].warning_threshold_percent", "95 is above restart_threshold_percent, 90", false},
	{"two probes in one", "applications: [{name: a, readiness: {probe: {tcp: 'h:1', rpc: 'm:f()'}}}]\n", KindClash, 1, 38, "applications[0].readiness.probe", "has tcp and rpc", true},

	// what this version cannot do and must not ignore
	{"s3 without a bucket", "release_adapter: s3\n", KindMissing, 1, 1, "release_adapter", "name the bucket", false},
	{"an address for a bucket", "release_adapter: s3\nrelease_bucket: s3://shop-releases/\n", KindValue, 2, 1, "release_bucket", "write shop-releases", false},
	{"no name of a bucket", "release_adapter: s3\nrelease_bucket: /srv/releases\n", KindValue, 2, 1, "release_bucket", "", false},
	{"endpoint with a path", "release_adapter: s3\nrelease_bucket: shop\nrelease: {s3: {endpoint: \"http://h/x\"}}\n", KindValue, 3, 16, "release.s3.endpoint", "such as https", false},
	{"role that is none", "release: {s3: {role_arn: releases}}\n", KindValue, 1, 26, "release.s3.role_arn", "", true},
	{"gcp-storage without a bucket", "release_adapter: gcp-storage\n", KindMissing, 1, 1, "release_adapter", "name the bucket", false},
	{"secrets of nothing", "secrets_adapter: aws\n", KindMissing, 0, 0, "secrets_path", "missing with secrets_adapter aws", false},
	{"a secret for nobody", "applications: [{name: a, secrets: [{key: x}]}]\n", KindMissing, 1, 36, "applications[0].secrets[0]", "give env, file", false},
	{"visible node", "node:\n  visibility: visible\n", KindValue, 2, 3, "node.visibility", "does not speak global", false},
	{"verification without keys", "release: {verify: required}\n", KindMissing, 1, 11, "release.verify", "no key", false},
	{"HTTPS", "web:\n  listen: 'localhost:5001'\n  tls: {cert_file: a, key_file: b}\n", KindNotYet, 3, 3, "web.tls", "HTTPS comes with a later version", false},
	{"no public key", "release: {public_keys: [RWQ]}\n", KindValue, 1, 25, "release.public_keys[0]", "neither a key", false},
}

func TestParse_RefusesWithLineAndHint(t *testing.T) {
	t.Parallel()
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			problems := problemsOf(t, tt.text)
			if len(problems) != 1 {
				t.Errorf("%d problems, want 1: %v", len(problems), problems)
			}
			p := problems[0]
			if p.Kind != tt.kind || p.Path != tt.path {
				t.Errorf("%s %q, want %s %q: %s", p.Kind, p.Path, tt.kind, tt.path, p)
			}
			if p.Line != tt.line || p.Column != tt.column {
				t.Errorf("at %d:%d, want %d:%d: %s", p.Line, p.Column, tt.line, tt.column, p)
			}
			if !strings.Contains(p.Message+"; "+p.Hint, tt.text2) {
				t.Errorf("%s; want %q in it", p, tt.text2)
			}
		})
	}
}

func TestParse_TLSFilesNeedAllThree(t *testing.T) {
	t.Parallel()
	problems := problemsOf(t, "node:\n  tls:\n    mode: files\n    ca_file: a\n")
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	if got := strings.Join(paths, " "); got != "node.tls.cert_file node.tls.key_file" {
		t.Errorf("problems at %s", got)
	}
}

func TestParse_ClusterWith(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{name: shop, cluster: mesh, cluster_with: [none]}":                      `2:48: applications[0].cluster_with[0]: there is no app "none"`,
		"{name: shop, cluster: mesh, cluster_with: [shop]}":                      `"shop" is the app itself`,
		"{name: shop, cluster_with: [till]}":                                     `app "shop" is no mesh`,
		"{name: shop, cluster: mesh, cluster_with: [till], cookie_file: /other}": `different cookies`,
	} {
		problems := problemsOf(t, "applications:\n  - "+text+"\n  - {name: till}\n")
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: problems %v, want %q", text, problems, want)
		}
	}
	c := mustParse(t, "applications:\n  - {name: shop, cluster: mesh, cluster_with: [till]}\n  - {name: till}\n")
	if got := c.Applications[0].ClusterWith; len(got) != 1 || got[0] != "till" {
		t.Errorf("cluster_with is %v", got)
	}
}

func TestParse_TLSModes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"node: {tls: {mode: own_ca}}", "node: {host: keeper.example.com, tls: {mode: own_ca}}", "node: {tls: {mode: files, optfile: /etc/inet_tls.conf}}",
		"node: {tls: {mode: files, ca_file: a, cert_file: b, key_file: c, password_file: d}}", "node: {host: 127.0.0.1, tls: {mode: off}}",
	} {
		mustParse(t, text)
	}
}

func TestParse_ReportsEverythingAtOnceInOrder(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	n := 0
	for i, tt := range refused {
		// Those that can stand one under the other: apps, in one list.
		if rest, ok := strings.CutPrefix(tt.text, "applications:\n"); ok && !strings.Contains(tt.name, "two apps") && !strings.Contains(tt.name, "section for a list") && !strings.Contains(tt.name, "ports of") {
			if n == 0 {
				text.WriteString("applications:\n")
			}
			// Names differ, ports too.
			rest = strings.ReplaceAll(rest, "name: a\n", fmt.Sprintf("name: a%d\n", i))
			rest = strings.ReplaceAll(rest, "4000", fmt.Sprint(4000+10*i))
			text.WriteString(rest)
			n++
		}
	}
	if n < 15 {
		t.Fatalf("only %d problems put together", n)
	}
	problems := problemsOf(t, text.String())
	if len(problems) != n {
		t.Errorf("%d problems, want %d:", len(problems), n)
		for _, p := range problems {
			t.Log(p)
		}
	}
	for i := 1; i < len(problems); i++ {
		if problems[i].Line < problems[i-1].Line {
			t.Errorf("line %d is reported after line %d", problems[i].Line, problems[i-1].Line)
		}
	}
}

func TestError_OneLineForEachProblem(t *testing.T) {
	t.Parallel()
	_, err := Parse("conf/b.yaml", []byte("prot: 1\nnode: 5\n"))
	want := "conf/b.yaml:1:1: prot: unknown key; did you mean port?\n" +
		"conf/b.yaml:2:7: node: must be a section (KEY: VALUE lines), not 5"
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}

func TestParse_AliasBombIsRefused(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("x-env: &e [")
	b.WriteString(strings.Repeat("{key: A, value: b}, ", 1000))
	b.WriteString("]\nx-app: &a {name: shop, env: *e}\napplications: [")
	b.WriteString(strings.Repeat("*a, ", 1000))
	b.WriteString("]\n")
	problems := problemsOf(t, b.String())
	if len(problems) > maxProblems {
		t.Errorf("%d problems reported, want at most %d", len(problems), maxProblems)
	}
	if !slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Message, "too large once its aliases") }) {
		t.Errorf("read to its end: %v", problems[0])
	}
	if _, err := Parse("b.yaml", []byte("x-a: &a\n  <<: *a\n  name: b\nnode: *a\n")); err != nil {
		t.Errorf("a merge of itself: %v", err)
	}
}

func TestParse_SecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	_, err := Parse("b.yaml", []byte("notifications:\n  - adapter: webhook\n    url: hooks.example/s3cr3t\n"+
		"  - adapter: slack\n    url: \"https://h/%zz/s3cr3t\"\n    enabled: 7\n"))
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the error tells the secret, or is none: %v", err)
	}
}

func TestParse_LongestSocketCanBeListenedOn(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := mustParse(t, "control: {socket: "+dir+"/"+strings.Repeat("s", 107-len(dir)-1)+"}")
	ln, err := net.Listen("unix", c.Control.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}

func TestNode_EPMDAddress(t *testing.T) {
	t.Parallel()
	none := func(string) string { return "" }
	port := func(key string) string { return map[string]string{"ERL_EPMD_PORT": "4999"}[key] }
	for _, tt := range []struct {
		setting string
		getenv  func(string) string
		want    string
	}{
		{"", none, "127.0.0.1:4369"},
		{"", port, "127.0.0.1:4999"},
		{"10.0.0.1:5000", port, "10.0.0.1:5000"},
	} {
		if got := (Node{EPMD: tt.setting}).EPMDAddress(tt.getenv); got != tt.want {
			t.Errorf("EPMDAddress with %q = %s, want %s", tt.setting, got, tt.want)
		}
	}
}

func TestParse_ChecksTemplatesAndPlaces(t *testing.T) {
	t.Parallel()
	const text = `applications:
  - name: shop
    replica_ports: [{key: PORT, base: 4000}]
    dirs: [{kind: state}, {kind: state}]
    env:
      - {key: POOL, value: "{{ .Cpus }}"}
      - {key: URL, value: "http://{{ .Host }}:{{ .Ports.PORT }}/{{ .Dirs.state }}"}
    vm_args: |
      +S 4
      +P {{ div 1 }}
    env_files: [etc/shop.env, -/etc/shop.env]
    umask: "99"
    files: [{path: x, source: a, content: b}, {path: y, content: "{{ .Ports.PROT }}"}]
    sandbox: {read_only_paths: [opt]}
`
	_, err := Parse("beamkeeper.yaml", []byte(text))
	for _, want := range []string{
		"beamkeeper.yaml:4:28: applications[0].dirs[1].kind", "beamkeeper.yaml:6:21: applications[0].env[0].value: env POOL: line 1: <.Cpus>: there is no Cpus",
		"applications[0].vm_args: vm_args: line 2", "env_files[0]", "umask", "files[0].content: source and content are both there",
		`files[1].content: content: line 1: <.Ports.PROT>: map has no entry for key "PROT"`, "sandbox.read_only_paths[0]",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "env[1]") {
		t.Errorf("a good template is refused: %v", err)
	}
}
