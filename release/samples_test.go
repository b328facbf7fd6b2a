package release_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/release"
)

// Real releases of all three languages, from the archive to a folder to run from, hold what tar would unpack.
func TestSamples(t *testing.T) {
	t.Parallel()
	for _, language := range []string{release.Elixir, release.Erlang, release.Gleam} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			file, app := sampletest.Build(t, language, "0.1.0"), sampletest.AppName(language)
			ctx, dir := context.Background(), t.TempDir()
			bucket := release.NewLocalBucket(filepath.Join(dir, "bucket"))
			p, err := release.Publish(ctx, release.PublishOptions{Bucket: bucket, Account: "prod", App: app, File: file})
			if err != nil {
				t.Fatal(err)
			}
			pkg := p.Package
			if pkg.Language != language || pkg.Name != app || pkg.Version != "0.1.0" || len(pkg.Applications) == 0 ||
				(pkg.ERTS == "") != (language == release.Gleam) {
				t.Errorf("package %+v", pkg)
			}
			s, err := release.OpenStore(release.StoreConfig{
				Dir: filepath.Join(dir, "var"), Source: release.Source{Bucket: bucket, Account: "prod"},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			rel, err := s.Fetch(ctx, app, p.Current)
			if err != nil {
				t.Fatal(err)
			}
			instance := app + "-abc123"
			if err := s.Prepare(ctx, app, instance, rel, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Switch(app, instance); err != nil {
				t.Fatal(err)
			}

			plain := filepath.Join(dir, "plain")
			if err := os.Mkdir(plain, 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("tar", "-xzf", file, "-C", plain).CombinedOutput(); err != nil {
				t.Fatalf("tar: %v: %s", err, out)
			}
			current := filepath.Join(s.InstanceDir(app, instance), "current")
			want, got := contents(t, plain), contents(t, current)
			delete(got, ".beamkeeper.json")
			// What release_handler needs, TestPrepare_DescribesTheReleaseForReleaseHandler.
			for _, name := range []string{"releases/RELEASES", "releases/" + app + "-0.1.0.rel"} {
				delete(got, name)
				delete(want, name)
			}
			if !maps.Equal(got, want) {
				t.Errorf("the folder holds %d files, tar's %d, or they differ", len(got), len(want))
			}
			before := contents(t, rel.Tree)
			if language == release.Elixir {
				evalElixir(t, filepath.Join(current, "bin", app))
			}
			if !maps.Equal(contents(t, rel.Tree), before) {
				t.Error("the instance wrote into the shared tree")
			}
		})
	}
}

// evalElixir boots the release far enough to evaluate something.
func evalElixir(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command(script, "eval", `IO.puts("up #{System.version()}")`)
	cmd.Env = append(os.Environ(), "RELEASE_DISTRIBUTION=none", "LANG=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("up 1.")) {
		t.Errorf("eval: %v: %s", err, out)
	}
}

// contents describes the files below dir: the sha256 and whether they can be executed.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[strings.TrimPrefix(name, dir+"/")] = fmt.Sprintf("%x %v", sha256.Sum256(b), info.Mode()&0o111 != 0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
