package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// everyField calls do for each field with its path.
func everyField(path string, fs []field, do func(path string, f *field)) {
	for i := range fs {
		at := join(path, fs[i].key)
		do(at, &fs[i])
		everyField(at, fs[i].fields, do)
	}
}

func TestTable_IsSound(t *testing.T) {
	t.Parallel()
	word := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	everyField("", table(), func(path string, f *field) {
		if !word.MatchString(f.key) {
			t.Errorf("%s: not a key like the others", path)
		}
		if f.doc == "" || !strings.HasSuffix(f.doc, ".") {
			t.Errorf("%s: its meaning %q is not a sentence", path, f.doc)
		}
		if (f.kind == kindDuration) != strings.HasSuffix(f.key, "_ms") {
			t.Errorf("%s: a duration ends in _ms, and nothing else does", path)
		}
		if f.enum != nil && f.def != "" && !slices.Contains(f.enum, f.def) {
			t.Errorf("%s: the default %s is not in %v", path, f.def, f.enum)
		}
		if f.pattern != nil && (f.form == "" || f.def != "" && !f.pattern.MatchString(f.def)) {
			t.Errorf("%s: the pattern has no words, or does not match the default", path)
		}
		switch f.kind {
		case kindInt, kindDuration, kindPercent:
			if f.def != "" && !f.within(mustInt(f.def)) {
				t.Errorf("%s: the default %s is not %s", path, f.def, f.bounds())
			}
		case kindSize:
			if n, err := ParseSize(f.def); f.def != "" && (err != nil || !f.within(int64(n))) {
				t.Errorf("%s: the default %s is not %s", path, f.def, f.bounds())
			}
		}
		if f.required && (f.def != "" || f.computed != "") {
			t.Errorf("%s: required, with a default", path)
		}
	})
}

func TestTable_KeysAreUnique(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	everyField("", table(), func(path string, f *field) {
		if seen[path] {
			t.Errorf("%s is there twice", path)
		}
		seen[path] = true
	})
	if len(seen) < 120 {
		t.Errorf("%d keys, want 120 at least", len(seen))
	}
}

// TestTestdata_SetsEveryKey keeps the sample files complete: what they set is tested by the others.
func TestTestdata_SetsEveryKey(t *testing.T) {
	t.Parallel()
	index := regexp.MustCompile(`\[\d+\]`)
	set := make(map[string]bool)
	for _, in := range []string{"deployex.yaml", "full.yaml"} {
		for path := range parseFile(t, in).origin {
			set[index.ReplaceAllString(path, "")] = true
		}
	}
	everyField("", table(), func(path string, _ *field) {
		if !set[path] {
			t.Errorf("%s is in none of the sample files", path)
		}
	})
}

func TestReference_DocsAreCurrent(t *testing.T) {
	t.Parallel()
	const file = "../../docs/configuration.md"
	const begin, end = "<!-- begin: go test ./internal/config -run Reference -update -->\n", "<!-- end -->\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	body, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the lines %q and %q", file, begin, end)
	}
	want := "\n" + string(Reference()) + "\n"
	if body == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not current: run go test ./internal/config -run Reference -update", file)
	}
	if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDocs_SamplesAreAccepted(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	samples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(b, -1)
	if len(samples) == 0 {
		t.Error("no sample")
	}
	for _, m := range samples {
		if _, err := Parse("sample.yaml", m[1]); err != nil {
			t.Errorf("%v in\n%s", err, m[1])
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"replicas", "replica_ports", "env", "name", "language", "stop"}
	for in, want := range map[string]string{
		"replcas": "replicas", "Replicas": "replicas", "relpicas": "replicas", "replica_port": "replica_ports", "nam": "name",
		"enf": "env", "xyzzy": "", "": "", "lang": "", "stpo": "stop",
	} {
		if got := nearest(in, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "acbd", 1}, {"same", "same", 0}} {
		if got := distance(tt.a, tt.b); got != tt.want || distance(tt.b, tt.a) != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Size{
		"0": 0, "1048576": 1 << 20, "1_000": 1000, "4GiB": 4 << 30, "512 MiB": 512 << 20, "1.5GiB": 3 << 29, "10MB": 10_000_000,
		"2K": 2048, "7kB": 7000, "3B": 3, "1TiB": 1 << 40,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "GiB", "-1", "4Gigs", "1e3", "0x10", "9999999999GiB", "1.2.3M", "4 G B", ".5G"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
	for size, want := range map[Size]string{0: "0", 1: "1", 1 << 20: "1MiB", 3 << 29: "1536MiB", 4 << 30: "4GiB", 1025: "1025", 1 << 50: "1024TiB"} {
		if got := size.String(); got != want {
			t.Errorf("Size(%d) = %s, want %s", int64(size), got, want)
		}
	}
}

func TestExample_IsAcceptedWithoutNotices(t *testing.T) {
	t.Parallel()
	for _, o := range []ExampleOptions{
		{},
		{Dir: "/srv/my keeper: 'one'", App: "counter", Language: Gleam, Replicas: 5, Port: 7000},
		{Dir: ".", App: "true", Language: Erlang},
	} {
		b, err := Example(o)
		if err != nil {
			t.Errorf("Example(%+v): %v", o, err)
			continue
		}
		c, err := Parse("/x/beamkeeper.yaml", b)
		if err != nil {
			t.Errorf("Example(%+v) is refused: %v", o, err)
			continue
		}
		if n := c.NotYet(); len(n) != 0 {
			t.Errorf("Example(%+v) has settings without effect: %v", o, n)
		}
		if a := c.Applications[0]; o.App != "" && (a.Name != o.App || a.Language != o.Language) {
			t.Errorf("Example(%+v) has the app %+v", o, a)
		}
		dir := o.Dir
		if dir == "." {
			dir = "/x"
		}
		for _, p := range []string{c.ReleaseBucket, c.VarPath, c.MonitoredAppLogPath, c.Control.Socket} {
			if dir != "" && !strings.HasPrefix(p, dir+"/") {
				t.Errorf("Example(%+v) has %s outside the folder", o, p)
			}
		}
	}
	if _, err := Example(ExampleOptions{App: "two words"}); err == nil {
		t.Error("an app name with a space makes an example")
	}
	if _, err := Example(ExampleOptions{Dir: "/x\nport: 1"}); err == nil {
		t.Error("a folder with a line break makes an example")
	}
}

func TestParse_DoesNotShareDefaults(t *testing.T) {
	t.Parallel()
	a, b := mustParse(t, ""), mustParse(t, "")
	a.Node.Allow[0] = "changed@*"
	if reflect.DeepEqual(a.Node.Allow, b.Node.Allow) {
		t.Error("two configurations share a list")
	}
}
