package release

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// hotRelease is a relx release with sasl, real modules, and whatever else it is given.
type hotRelease struct {
	version, app, appup, config string
	modules                     map[string][]byte
	erts                        string // empty: 14.2
	noSASL                      bool
	more                        []member
}

func (r hotRelease) write(t *testing.T) string {
	t.Helper()
	erts := r.erts
	if erts == "" {
		erts = "14.2"
	}
	apps := fmt.Sprintf("{kernel,\"9.2\"},{stdlib,\"5.2\"},{sasl,\"4.2\"},{shop,%q}", r.app)
	if r.noSASL {
		apps = strings.Replace(apps, "{sasl,\"4.2\"},", "", 1)
	}
	rel := fmt.Sprintf("{release,{\"shop\",%q},{erts,%q},[%s]}.", r.version, erts, apps)
	lib := "lib/shop-" + r.app + "/"
	members := []member{
		{name: "bin/shop", body: "#!/bin/sh", mode: 0o755},
		{name: "releases/start_erl.data", body: erts + " " + r.version},
		{name: "releases/" + r.version + "/shop.rel", body: rel},
		{name: "releases/" + r.version + "/sys.config", body: "[" + r.config + "]."},
		{name: lib + "ebin/shop.app", body: fmt.Sprintf("{application,shop,[{vsn,%q}]}.", r.app)},
	}
	for _, app := range []string{"kernel-9.2", "stdlib-5.2", "sasl-4.2"} {
		name, _, _ := strings.Cut(app, "-")
		if name != "sasl" || !r.noSASL {
			members = append(members, member{name: "lib/" + app + "/ebin/" + name + ".app", body: "{application," + name + ",[]}."})
		}
	}
	for name, b := range r.modules {
		members = append(members, member{name: lib + "ebin/" + name + ".beam", body: string(b)})
	}
	if r.appup != "" {
		members = append(members, member{name: lib + "ebin/shop.appup", body: r.appup})
	}
	file := filepath.Join(t.TempDir(), "shop-"+r.version+".tar.gz")
	if err := os.WriteFile(file, archiveOf(t, append(members, r.more...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (r hotRelease) read(t *testing.T) Contents {
	t.Helper()
	c, err := ReadContents(context.Background(), r.write(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestJudge(t *testing.T) {
	t.Parallel()
	bin := nodetest.Want(t, "25")[0].Bin
	one := map[string][]byte{"a b": compile(t, bin, moduleSource)}
	two := map[string][]byte{"a b": compile(t, bin, moduleSource+"more() -> 1.\n", "+export_all")}
	const both = `{"2.0.0",[{"1.0.0",[{load_module,'a b'}]}],[{"1.0.0",[{load_module,'a b'}]}]}.`
	base := hotRelease{version: "1.0.0", app: "1.0.0", modules: one, config: `{shop,[{a,1},{b,"secret"}]}`}
	next := hotRelease{version: "2.0.0", app: "2.0.0", modules: two, appup: both, config: `{shop,[{a,2},{c,3}]}`}
	with := func(r hotRelease, f func(*hotRelease)) hotRelease { f(&r); return r }
	host := Host{Machine: runtime.GOARCH}
	from := base.read(t)

	for _, c := range []struct {
		name    string
		from    hotRelease
		to      hotRelease
		verdict string
		reason  string // the first, in part
		remedy  string
		note    string
	}{
		{"appup both ways", base, next, Hot, "", "", ""},
		{"appup of a pattern", base, with(next, func(r *hotRelease) { r.appup = `{"2.0.0",[{<<"1\\.[0-9.]+">>,[]}],[{<<"1\\..*">>,[]}]}.` }), Hot, "", "", ""},
		{"pattern that fits in part", base, with(next, func(r *hotRelease) { r.appup = `{"2.0.0",[{<<"1\\.0">>,[]}],[]}.` }), Full, "has no appup", "leads from 1.0.0", ""},
		{"up only", base, with(next, func(r *hotRelease) { r.appup = `{"2.0.0",[{"1.0.0",[]}],[]}.` }), Hot, "", "", "no way back"},
		{"no appup", base, with(next, func(r *hotRelease) { r.appup = "" }), Full, "shop 1.0.0 → 2.0.0 has no appup", "an appup of shop that leads from 1.0.0", ""},
		{"appup from elsewhere", base, with(next, func(r *hotRelease) { r.appup = `{"2.0.0",[{"0.9",[]}],[]}.` }), Full, "has no appup", "", ""},
		{"appup that restarts", base, with(next, func(r *hotRelease) { r.appup = `{"2.0.0",[{"1.0.0",[restart_new_emulator]}],[]}.` }), Full, "restarts the VM", "", ""},
		{"relup shipped", base, with(next, func(r *hotRelease) {
			r.appup, r.more = "", []member{{name: "releases/2.0.0/relup", body: `{"2.0.0",[{"1.0.0",[],[point_of_no_return]}],[{"1.0.0",[],[]}]}.`}}
		}), Hot, "", "", ""},
		{"other ERTS", base, with(next, func(r *hotRelease) { r.erts = "15.0" }), Full, "ERTS is 15.0, was 14.2", "same Erlang/OTP", ""},
		{"no sasl", with(base, func(r *hotRelease) { r.noSASL = true }), with(next, func(r *hotRelease) { r.noSASL = true }), Full, "no sasl", "add sasl", ""},
		{"same version of the app", base, with(next, func(r *hotRelease) { r.app = "1.0.0" }), Full, "other modules under the same version 1.0.0", "", ""},
		{"same version of the release", base, with(next, func(r *hotRelease) { r.version = "1.0.0" }), Full, "other contents under the same version", "", ""},
		{"nothing differs", base, base, Same, "", "", ""},
		{"compiled again with debug information", base, with(base, func(r *hotRelease) {
			r.modules = map[string][]byte{"a b": compile(t, bin, moduleSource, "+debug_info")}
		}), Same, "", "", ""},
		{"broken appup", base, with(next, func(r *hotRelease) { r.appup = `{"2.0.0",` }), Full, "has no appup", "", "shop.appup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old := c.from.read(t)
			v := Judge(&old, c.to.read(t), host)
			if v.Verdict != c.verdict || (c.reason == "") != (len(v.Reasons) == 0) ||
				c.reason != "" && (!strings.Contains(v.Reasons[0].What, c.reason) || !strings.Contains(v.Reasons[0].Remedy, c.remedy)) {
				t.Errorf("verdict is %+v, want %s: %q, %q", v, c.verdict, c.reason, c.remedy)
			}
			if c.note != "" && !strings.Contains(strings.Join(v.Notes, "\n"), c.note) {
				t.Errorf("notes are %q, want %q", v.Notes, c.note)
			}
		})
	}

	d := Compare(from, next.read(t))
	if !slices.Equal(d.Config.Added, []string{"shop.c"}) || !slices.Equal(d.Config.Changed, []string{"shop.a"}) || !slices.Equal(d.Config.Removed, []string{"shop.b"}) {
		t.Errorf("configuration: %+v", d.Config)
	}
	if len(d.Apps) != 1 || !slices.Equal(d.Apps[0].Changed, []string{"a b"}) || !d.Apps[0].Up || !d.Apps[0].Down {
		t.Errorf("applications: %+v", d.Apps)
	}
	if v := Judge(&from, hotRelease{version: "2.0.0", app: "2.0.0", modules: two}.read(t), host); v.Verdict != Full {
		t.Errorf("verdict %+v", v)
	}
	other := from
	other.Name = "blog"
	if v := Judge(&other, next.read(t), host); v.Verdict != Refused || !strings.Contains(v.Reasons[0].What, `of "shop", not of "blog"`) {
		t.Errorf("another app: %+v", v)
	}
}

// The program that runs this test stands for a native library.
func TestJudge_Natives(t *testing.T) {
	t.Parallel()
	libc, err := os.ReadFile(libcOf(t))
	if err != nil {
		t.Fatal(err)
	}
	r := hotRelease{version: "1.0.0", app: "1.0.0", more: []member{{name: "lib/shop-1.0.0/priv/nif.so", body: string(libc)}}}
	c := r.read(t)
	if len(c.Natives) != 1 || c.Natives[0].Machine != runtime.GOARCH {
		t.Fatalf("natives are %+v", c.Natives)
	}
	host := ThisHost()
	if host.GLIBC == "" || len(host.Libraries) < 5 {
		t.Fatalf("this host is %+v", host)
	}
	if v := Judge(nil, c, host); v.Verdict != Full {
		t.Errorf("here: %+v", v)
	}
	c.Natives[0].GLIBC, c.Natives[0].Needs = "99.9", append(c.Natives[0].Needs, "libnowhere.so.7")
	v := Judge(nil, c, host)
	if v.Verdict != Refused || len(v.Reasons) != 2 || !strings.Contains(v.Reasons[0].What, "needs glibc 99.9, this host has "+host.GLIBC) || !strings.Contains(v.Reasons[1].What, "needs libnowhere.so.7") {
		t.Errorf("too new: %+v", v)
	}
	c.Natives[0].Path, c.Natives[0].Machine = "erts-14.2/bin/beam.smp", "s390x"
	if v := Judge(nil, c, host); v.Verdict != Refused || !strings.Contains(v.Reasons[0].What, "is for s390x, this host is "+runtime.GOARCH) {
		t.Errorf("another machine: %+v", v)
	}
	// The library of another version differs; the running one cannot be exchanged.
	from, to := r.read(t), r
	to.version, to.app, to.appup = "2.0.0", "2.0.0", `{"2.0.0",[{"1.0.0",[]}],[{"1.0.0",[]}]}.`
	to.more = []member{{name: "lib/shop-2.0.0/priv/nif.so", body: string(libc) + "x"}}
	if v := Judge(&from, to.read(t), host); v.Verdict != Full || !strings.Contains(v.Reasons[0].What, "native library shop/priv/nif.so differs") {
		t.Errorf("another library: %+v", v)
	}
}

func libcOf(t *testing.T) string {
	t.Helper()
	for _, dir := range libraryFolders() {
		if path := filepath.Join(dir, "libc.so.6"); exists(path) {
			return path
		}
	}
	if os.Getenv("REQUIRE_OTP") == "1" {
		t.Fatal("no libc.so.6 where the loader looks")
	}
	t.Skip("this host has no GNU C library")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
