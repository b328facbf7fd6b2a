package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// TestClasses_AreWhole: a new key needs a class, and a class a key.
func TestClasses_AreWhole(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	var walk func(pattern string, fs []field, inherited Class)
	walk = func(pattern string, fs []field, inherited Class) {
		for i := range fs {
			f := &fs[i]
			key := join(pattern, f.key)
			class, ok := classOf(key, f, inherited)
			if _, own := classes[key]; own {
				used[key] = true
				if inherited != "" || f.note() != "" {
					t.Errorf("%s needs no class of its own", key)
				}
			}
			switch {
			case f.kind == kindSection && ok && class != ClassNone:
				t.Errorf("%s: a section has no class, its keys have", key)
			case f.fields != nil:
				if !ok && f.kind == kindOptional {
					t.Errorf("%s has no class in change.go", key)
				}
				if f.kind == kindSections {
					key += "[]"
				}
				walk(key, f.fields, class)
			case !ok:
				t.Errorf("%s has no class in change.go", key)
			case classWords[class] == "" && class != ClassNone:
				t.Errorf("%s has the class %q, which is none", key, class)
			}
		}
	}
	walk("", table(), "")
	for key := range classes {
		if !used[key] {
			t.Errorf("change.go has a class for %s, which is no key", key)
		}
		if strings.HasPrefix(key, "applications[].") && classes[key] == ClassDaemonRestart {
			t.Errorf("%s: what an app has must not need a restart of the daemon", key)
		}
	}
}

const running = `
account_name: prod
config: {auto_apply: off}
node: {allow: ["observer@*"], grant: [{nodes: "panel@*", rights: read}]}
release: {keep_releases: 3}
applications:
  - name: shop
    replicas: 2
    replica_ports: [{key: PORT, base: 4000}]
    env: [{key: LANG, value: C}, {key: API_TOKEN, value: one}, {key: OLD, value: x}]
    readiness: {probe: {tcp: "127.0.0.1:${PORT}"}}
  - name: cart
`

func TestDiff(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		from, to string // replaced in running
		want     []Change
	}{
		"nothing":       {"", "", nil},
		"a comment":     {"account_name: prod", "account_name: prod # the shop", nil},
		"a default":     {"  - name: cart\n", "  - name: cart\n    replicas: 3\n", nil},
		"order of env":  {"{key: LANG, value: C}, {key: API_TOKEN, value: one}", "{key: API_TOKEN, value: one}, {key: LANG, value: C}", nil},
		"order of apps": {"  - name: cart\n", "", []Change{{Path: "applications[cart]", App: "cart", Op: OpRemoved, Class: ClassImmediate}}},
		"replicas": {"replicas: 2", "replicas: 4", []Change{
			{Path: "applications[shop].replicas", App: "shop", Op: OpChanged, Old: "2", New: "4", Class: ClassImmediate}}},
		"a variable": {"value: C}", "value: C.UTF-8}", []Change{
			{Path: "applications[shop].env[LANG].value", App: "shop", Op: OpChanged, Old: "C", New: "C.UTF-8", Class: ClassRollingRestart}}},
		"a secret": {"value: one}", "value: two}", []Change{
			{Path: "applications[shop].env[API_TOKEN].value", App: "shop", Op: OpChanged, Old: Mask, New: Mask, Class: ClassRollingRestart}}},
		"a variable more": {", {key: OLD, value: x}", ", {key: OLD, value: x}, {key: DB_PASSWORD, value: pw}", []Change{
			{Path: "applications[shop].env[DB_PASSWORD]", App: "shop", Op: OpAdded, New: Mask, Class: ClassRollingRestart}}},
		"a variable less": {", {key: OLD, value: x}", "", []Change{
			{Path: "applications[shop].env[OLD]", App: "shop", Op: OpRemoved, Old: "x", Class: ClassRollingRestart}}},
		"ports": {"base: 4000", "base: 5000", []Change{
			{Path: "applications[shop].replica_ports[PORT].base", App: "shop", Op: OpChanged, Old: "4000", New: "5000", Class: ClassRollingRestart}}},
		"a probe": {`tcp: "127.0.0.1:${PORT}"`, `tcp: "localhost:${PORT}"`, []Change{
			{Path: "applications[shop].readiness.probe.tcp", App: "shop", Op: OpChanged, Old: "127.0.0.1:${PORT}", New: "localhost:${PORT}", Class: ClassNextStart}}},
		"no probe": {"    readiness: {probe: {tcp: \"127.0.0.1:${PORT}\"}}\n", "", []Change{
			{Path: "applications[shop].readiness.probe", App: "shop", Op: OpRemoved, Old: `{"tcp":"127.0.0.1:${PORT}","api":false,"interval_ms":250,"timeout_ms":2000}`, Class: ClassNextStart}}},
		"an app": {"  - name: cart\n", "  - name: cart\n  - name: till\n", []Change{
			{Path: "applications[till]", App: "till", Op: OpAdded, Class: ClassImmediate}}},
		"who may connect": {`["observer@*"]`, `["observer@*", "ops@*"]`, []Change{
			{Path: "node.allow", Op: OpChanged, Old: `["observer@*"]`, New: `["observer@*","ops@*"]`, Class: ClassImmediate}}},
		"the bucket": {"account_name: prod", "account_name: test", []Change{
			{Path: "account_name", Op: OpChanged, Old: "prod", New: "test", Class: ClassDaemonRestart}}},
		"how many releases": {"keep_releases: 3", "keep_releases: 0", []Change{
			{Path: "release.keep_releases", Op: OpChanged, Old: "3", New: "0", Class: ClassNextStart}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := mustParse(t, running), mustParse(t, strings.Replace(running, tc.from, tc.to, 1))
			if got := Diff(a, b); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("Diff = %+v\nwant   %+v", got, tc.want)
			}
		})
	}
}

func TestInForce(t *testing.T) {
	t.Parallel()
	a := mustParse(t, running)
	b := mustParse(t, strings.NewReplacer("account_name: prod", "account_name: test", "replicas: 2", "replicas: 5", "  - name: cart\n", "").Replace(running))
	c, err := InForce(a, b, []string{"cart"})
	if err != nil {
		t.Fatal(err)
	}
	if c.AccountName != "prod" || c.Applications[0].Replicas != 5 || len(c.Applications) != 2 || c.Applications[1].Name != "cart" {
		t.Errorf("in force: %s", c.Show())
	}
	if left := Diff(c, b); len(left) != 2 || left[0].Path != "account_name" || left[1].Path != "applications[cart]" {
		t.Errorf("left to do: %+v", left)
	}
	if b.AccountName != "test" || len(b.Applications) != 1 {
		t.Error("the file's configuration was changed")
	}
	if c, err := InForce(a, b, nil); err != nil || len(c.Applications) != 1 {
		t.Errorf("without keeping any: %v, %v", c.Applications, err)
	}
}

func TestInForce_AnAppThatIsKeptKeepsItsPorts(t *testing.T) {
	t.Parallel()
	a := mustParse(t, running)
	b := mustParse(t, "applications:\n  - name: till\n    replica_ports: [{key: PORT, base: 4001}]\n")
	_, err := InForce(a, b, []string{"shop", "cart"})
	var bad *Error
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "ports 4000 to 4002") {
		t.Errorf("InForce = %v, want a clash with the ports of shop", err)
	}
}

// TestDiff_ShowsNoSecret: whatever Show hides, Diff hides.
func TestDiff_ShowsNoSecret(t *testing.T) {
	t.Parallel()
	full := parseFile(t, "full.yaml")
	for _, changes := range [][]Change{Diff(mustParse(t, ""), full), Diff(full, mustParse(t, ""))} {
		if len(changes) < 10 {
			t.Errorf("only %d changes", len(changes))
		}
		for _, c := range changes {
			for _, secret := range []string{"etcdpw", "tok\"", "abc"} {
				if strings.Contains(c.Old+c.New, secret) {
					t.Errorf("%+v shows %q", c, secret)
				}
			}
		}
	}
}
