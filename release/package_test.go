package release

import (
	"archive/tar"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func writeArchive(t testing.TB, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.tar.gz")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestInspect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		members []member
		want    Package
	}{
		{"mix", mixRelease("shop", "1.0.0"), Package{Language: Elixir, Name: "shop", Version: "1.0.0", ERTS: "13.1.5", IncludesERTS: true,
			Applications: []Application{{"kernel", "8.5.3"}, {"shop", "1.0.0"}}, Files: 12}},
		{"relx without erts", relxRelease("shop", "2.1.0+b3"), Package{Language: Erlang, Name: "shop", Version: "2.1.0+b3", ERTS: "14.2",
			Applications: []Application{{"kernel", "9.2"}, {"shop", "2.1.0+b3"}}, Files: 8}},
		{"gleam", shipment("shop", "0.3.0"), Package{Language: Gleam, Name: "shop", Version: "0.3.0",
			Applications: []Application{{"gleam_stdlib", "0.44.0"}, {"shop", "0.3.0"}}, Files: 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Inspect(context.Background(), writeArchive(t, archiveOf(t, tt.members...)), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Applications, tt.want.Applications) || got.Bytes == 0 {
				t.Errorf("Inspect: %+v, want %+v", got, tt.want)
			}
			got.Applications, tt.want.Applications, got.Bytes = nil, nil, 0
			if got.Language != tt.want.Language || got.Name != tt.want.Name || got.Version != tt.want.Version ||
				got.ERTS != tt.want.ERTS || got.IncludesERTS != tt.want.IncludesERTS || got.Files != tt.want.Files {
				t.Errorf("Inspect: %+v, want %+v", got, tt.want)
			}
		})
	}
}

// without leaves out the members whose name ends like that.
func without(members []member, suffix string) []member {
	return slices.DeleteFunc(slices.Clone(members), func(m member) bool { return strings.HasSuffix(m.name, suffix) })
}

func below(top string, members []member) []member {
	all := slices.Clone(members)
	for i := range all {
		all[i].name = top + "/" + strings.TrimPrefix(all[i].name, "./")
	}
	return all
}

func TestInspect_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	mix := mixRelease("shop", "1.0.0")
	tests := []struct {
		name    string
		members []member
		text    string
	}{
		{"nothing of a release", []member{{name: "README", body: "x"}}, "neither a folder releases"},
		{"one folder too many", below("shop-1.0.0", mix), `all is below the folder "shop-1.0.0"`},
		{"shipment below a folder", below("x", shipment("shop", "1")), `all is below the folder "x"`},
		{"shipment without its folder", []member{{name: "entrypoint.sh", body: "x"}, {name: "shop/ebin/shop.app", body: "x"}}, "archive the folder erlang-shipment itself"},
		{"no script", without(mix, "bin/shop"), "no bin/shop"},
		{"no rel file", without(mix, ".rel"), "no releases/1.0.0/NAME.rel"},
		{"no rel file and no start_erl.data", without(without(mix, ".rel"), "start_erl.data"), "no releases/VERSION/NAME.rel"},
		{"rel of another version", append(without(mix, "start_erl.data"), member{name: "releases/start_erl.data", body: "13.1.5 9.9.9"}), "start_erl.data names \"9.9.9\""},
		{"other erts", append(without(mix, "beam.smp"), member{name: "erts-12.0/bin/beam.smp", body: "x"}), "erts-12.0"},
		{"rel that is no term", append(without(mix, ".rel"), member{name: "releases/1.0.0/shop.rel", body: "{release,\n{"}), "shop.rel"},
		{"rel that is another term", append(without(mix, ".rel"), member{name: "releases/1.0.0/shop.rel", body: "[a]."}), "not a tuple"},
		{"rel of two terms", append(without(mix, ".rel"), member{name: "releases/1.0.0/shop.rel", body: "a. b."}), "not one term"},
		{"rel without erts", append(without(mix, ".rel"), member{name: "releases/1.0.0/shop.rel", body: `{release,{"shop","1.0.0"},x,[{kernel,"1"}]}.`}), "no name, version or erts"},
		{"rel without applications", append(without(mix, ".rel"), member{name: "releases/1.0.0/shop.rel", body: `{release,{"shop","1.0.0"},{erts,"13.1.5"},[]}.`}), "no applications"},
		{"shipment without main", without(shipment("shop", "1"), "@@main.beam"), "no package"},
		{"shipment with two mains", append(shipment("shop", "1"), member{name: "erlang-shipment/b/ebin/b@@main.beam", body: "x"}), "several packages"},
		{"shipment without version", append(without(shipment("shop", "1"), "/shop.app"), member{name: "erlang-shipment/shop/ebin/shop.app", body: "{application,shop,[{vsn,\"\"}]}."}), "no version"},
		{"broken app file", append(shipment("shop", "1"), member{name: "erlang-shipment/x/ebin/x.app", body: "foo."}), "x.app: not {application"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Inspect(context.Background(), writeArchive(t, archiveOf(t, tt.members...)), Limits{})
			if !errors.Is(err, ErrBadRel) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Inspect = %+v, %v, want ErrBadRel with %q", got, err, tt.text)
			}
		})
	}
}

func TestInspect_ForAnotherApp(t *testing.T) {
	t.Parallel()
	for _, members := range [][]member{mixRelease("shop", "1.0.0"), shipment("shop", "1.0.0")} {
		_, err := inspectFile(context.Background(), writeArchive(t, archiveOf(t, members...)), "store", Limits{})
		if !errors.Is(err, ErrBadRel) || !strings.Contains(err.Error(), "must be called like its") {
			t.Errorf("inspect for another app: %v, want ErrBadRel with the reason", err)
		}
	}
}

func TestInspect_ChecksAsUnpackingDoes(t *testing.T) {
	t.Parallel()
	for _, m := range []member{
		{name: "../x", body: "x"},
		{name: "p", typ: tar.TypeFifo},
		{name: "a/l", typ: tar.TypeSymlink, link: "../../x"},
		{name: "a/l", typ: tar.TypeSymlink, link: "b/../x"},
		{name: "a/l", typ: tar.TypeSymlink, link: "/x"},
	} {
		name := writeArchive(t, archiveOf(t, append(mixRelease("shop", "1.0.0"), m)...))
		if _, err := Inspect(context.Background(), name, Limits{}); !errors.Is(err, ErrUnsafePath) {
			t.Errorf("Inspect with %+v: %v, want ErrUnsafePath", m, err)
		}
	}
	if _, err := Inspect(context.Background(), filepath.Join(t.TempDir(), "none"), Limits{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Inspect of no file: %v, want ErrNotFound", err)
	}
	if _, err := Inspect(context.Background(), t.TempDir(), Limits{}); err == nil {
		t.Error("Inspect of a folder: no error")
	}
}
