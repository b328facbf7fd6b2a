package release

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

func TestStore_ContentsOfAnArchiveAreReadOnce(t *testing.T) {
	t.Parallel()
	bin := nodetest.Want(t, "25")[0].Bin
	r := hotRelease{version: "2.0.0", app: "2.0.0", modules: map[string][]byte{"a b": compile(t, bin, moduleSource)},
		appup: `{"2.0.0",[{<<"1\\..*">>,[restart_new_emulator]}],[{"1.0.0",[]}]}.`, config: `{shop,[{a,1}]}`}
	native := aProgram(t)
	r.more = []member{
		{name: "lib/shop-2.0.0/priv/nif.so", body: string(native)},
		{name: "lib/shop-2.0.0/priv/asset.js", body: strings.Repeat("x", 100_000)},
		{name: "erts-14.2/bin/erl", body: "#!/bin/sh", mode: 0o755},
		{name: "releases/COOKIE", body: "secret"},
	}
	file := r.write(t)
	want, err := ReadContents(context.Background(), file, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bucket := NewLocalBucket(filepath.Join(dir, "bucket"))
	p, err := Publish(t.Context(), PublishOptions{Bucket: bucket, App: "shop", File: file})
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(StoreConfig{Dir: filepath.Join(dir, "var"), Source: Source{Bucket: bucket}, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Find("shop", "2.0.0", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("found before it was fetched: %v", err)
	}
	rel, err := s.Fetch(t.Context(), "shop", p.Current)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := s.Find("shop", "2.0.0", rel.SHA256); err != nil || found.Tree != rel.Tree {
		t.Errorf("Find = %+v, %v", found, err)
	}
	if _, err := s.Find("shop", "2.0.0", "0123"); !errors.Is(err, ErrNotFound) {
		t.Errorf("found with another sha256: %v", err)
	}
	got, err := s.Contents(t.Context(), rel)
	if err != nil {
		t.Fatal(err)
	}
	want.scripts, got.scripts = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("from the tree %+v,\nfrom the archive %+v", got, want)
	}
	// From now on nothing but the kept file is read.
	if err := os.Rename(filepath.Join(rel.Tree, "lib"), filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Contents(t.Context(), rel); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("again %+v, %v", again, err)
	}
	if up, _ := got.Apps[2].Appup.Covers("1.7"); up == nil || !up.Restart {
		t.Errorf("the appup as it was kept: %+v", got.Apps)
	}
	// A file of another format is made anew.
	file = filepath.Join(filepath.Dir(rel.Tree), contentsFile)
	if err := os.WriteFile(file, []byte(`{"format":0,"name":"old"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Contents(t.Context(), rel); err != nil || again.Name != "shop" || len(again.Apps) != 0 {
		t.Errorf("after another format %+v, %v", again, err)
	}
	if _, err := s.Prune("shop", 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Contents(t.Context(), rel); err == nil {
		t.Error("contents of a release that was removed")
	}
}
