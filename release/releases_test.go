package release_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/release"
)

// preparedSample opens a store whose app has one instance, with an unpacked sample of the language as its current.
func preparedSample(t *testing.T, language, version string, owner *release.Owner) (*release.Store, release.Release, string) {
	t.Helper()
	app := sampletest.AppName(language)
	dir := t.TempDir()
	bucket := release.NewLocalBucket(filepath.Join(dir, "bucket"))
	p, err := release.Publish(context.Background(), release.PublishOptions{
		Bucket: bucket, Account: "prod", App: app, File: sampletest.Build(t, language, version),
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := release.OpenStore(release.StoreConfig{
		Dir: filepath.Join(dir, "var"), Source: release.Source{Bucket: bucket, Account: "prod"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	rel, err := s.Fetch(context.Background(), app, p.Current)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(context.Background(), app, app+"-abc123", rel, owner); err != nil {
		t.Fatal(err)
	}
	if err := s.Switch(app, app+"-abc123"); err != nil {
		t.Fatal(err)
	}
	return s, rel, filepath.Join(s.InstanceDir(app, app+"-abc123"), "current")
}

// What Prepare writes is what create_RELEASES of OTP writes, as terms.
func TestPrepare_DescribesTheReleaseForReleaseHandler(t *testing.T) {
	t.Parallel()
	otp := nodetest.WantAny(t)
	for _, language := range []string{release.Elixir, release.Erlang} {
		_, rel, root := preparedSample(t, language, "0.1.0", nil)
		name := rel.Package.Name
		cmd := exec.Command(filepath.Join(otp.Bin, "erl"), "-noshell", "-eval", `
			{ok, _} = application:ensure_all_started(sasl),
			[Root, Rel, Own] = init:get_plain_arguments(),
			{ok, Ours} = file:consult(Root ++ "/releases/RELEASES"),
			ok = release_handler:create_RELEASES(Root, Own, Root ++ "/releases/" ++ Rel ++ ".rel", []),
			{ok, Theirs} = file:consult(Own ++ "/RELEASES"),
			case Ours of Theirs -> io:format("same"); _ -> io:format("~p~n~p~n", [Ours, Theirs]) end, halt().`,
			"-extra", root, name+"-0.1.0", t.TempDir())
		cmd.Env = otp.Env()
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "same") {
			t.Errorf("%s: %v: %s", language, err, out)
		}
	}
}

func TestPrepare_LetsTheUserOfAReadOnlyTreeWriteWhatReleaseHandlerWrites(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	_, _, root := preparedSample(t, release.Erlang, "0.1.0", &release.Owner{UID: 65534, GID: 65534, ReadOnly: true})
	for name, want := range map[string]bool{"RELEASES": true, "start_erl.data": true, "0.1.0/sys.config": false, "0.1.0": false} {
		cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-w", "current/releases/"+name)
		cmd.Dir = filepath.Dir(root) // the test's own folder is closed to others
		if got := cmd.Run() == nil; got != want {
			t.Errorf("releases/%s can be written by its user: %v, want %v", name, got, want)
		}
	}
}

func TestUpgraded_ChangesWhatTheFolderHolds(t *testing.T) {
	t.Parallel()
	s, rel, _ := preparedSample(t, release.Erlang, "0.1.0", nil)
	next := rel
	next.Version, next.SHA256 = "0.2.0", strings.Repeat("b", 64)
	if err := s.Upgraded("sample", "sample-abc123", next); err != nil {
		t.Fatal(err)
	}
	f, err := s.Instance("sample", "sample-abc123")
	if err != nil || f.Current == nil || f.Current.ID() != next.ID() {
		t.Errorf("Instance = %+v, %v; want %s as its current", f.Current, err, next.ID())
	}
	if err := s.Upgraded("sample", "sample-none00", next); err == nil {
		t.Error("Upgraded of an instance without a folder succeeded")
	}
}
