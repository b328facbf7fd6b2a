package release

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func prepareOK(t testing.TB, s *Store, instance string, r Release) {
	t.Helper()
	if err := s.Prepare(context.Background(), r.App, instance, r, nil); err != nil {
		t.Fatal(err)
	}
}

// folderState writes the versions of an instance's new, current and previous as "new/current/previous".
func folderState(t testing.TB, s *Store, app, instance string) string {
	t.Helper()
	f, err := s.Instance(app, instance)
	if errors.Is(err, ErrNotFound) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	state := func(name string, r *Release) string {
		dir := filepath.Join(f.Dir, name)
		if r == nil {
			if _, err := os.Lstat(dir); err == nil {
				t.Errorf("%s is there, but the store does not know it", dir)
			}
			return "-"
		}
		// What it says must be what it holds.
		if got := readFile(t, dir, "releases/start_erl.data"); got != "13.1.5 "+r.Version {
			t.Errorf("%s holds %q and says %s", dir, got, r.Version)
		}
		return r.Version
	}
	return state("new", f.New) + "/" + state("current", f.Current) + "/" + state("previous", f.Previous)
}

func TestStore_PrepareAndSwitch(t *testing.T) {
	t.Parallel()
	for _, exchange := range []struct {
		name string
		fn   func(string, string) error
	}{{"at once", nil}, {"by hand", func(a, b string) error { return errors.ErrUnsupported }}} {
		t.Run(exchange.name, func(t *testing.T) {
			t.Parallel()
			sh := newShelf(t)
			cfg := sh.config()
			cfg.exchange = exchange.fn
			s, err := OpenStore(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			releases := make(map[string]Release)
			for _, v := range []string{"1", "2", "3"} {
				sh.put(t, "shop", v, archiveOf(t, mixRelease("shop", v)...))
				releases[v] = fetchOK(t, s, "shop", Current{Version: v})
			}
			expect := func(want string) {
				t.Helper()
				if got := folderState(t, s, "shop", "shop-aaaaaa"); got != want {
					t.Errorf("folder is %s, want %s", got, want)
				}
			}
			expect("none")
			prepareOK(t, s, "shop-aaaaaa", releases["1"])
			expect("1/-/-")
			prepareOK(t, s, "shop-aaaaaa", releases["2"])
			expect("2/-/-")
			for _, step := range []struct{ prepare, want string }{{"", "-/2/-"}, {"3", "-/3/2"}, {"1", "-/1/3"}, {"1", "-/1/1"}} {
				if step.prepare != "" {
					prepareOK(t, s, "shop-aaaaaa", releases[step.prepare])
				}
				if err := s.Switch("shop", "shop-aaaaaa"); err != nil {
					t.Fatal(err)
				}
				expect(step.want)
			}
			if err := s.Switch("shop", "shop-aaaaaa"); !errors.Is(err, ErrNotPrepared) {
				t.Errorf("Switch with nothing prepared: %v, want ErrNotPrepared", err)
			}
			expect("-/1/1")
			all, err := s.Instances("shop")
			if err != nil || len(all) != 1 || all[0].Instance != "shop-aaaaaa" || all[0].Current.ID() != releases["1"].ID() ||
				all[0].Current.Tree != releases["1"].Tree {
				t.Errorf("Instances = %+v, %v", all, err)
			}
			for range 2 {
				if err := s.RemoveInstance("shop", "shop-aaaaaa"); err != nil {
					t.Error(err)
				}
			}
			expect("none")
			if left := leftovers(t, sh.dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestStore_PrepareSharesWhatIsNeverWritten(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1",
		member{name: "bin/also", typ: tar.TypeSymlink, link: "shop"}, member{name: "log/", typ: tar.TypeDir})...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1"})
	prepareOK(t, s, "shop-aaaaaa", r)
	dir := filepath.Join(s.InstanceDir("shop", "shop-aaaaaa"), "new")
	for name, shared := range map[string]bool{
		"lib/shop-1/ebin/Elixir.App.beam":                true,
		"lib/shop-1/ebin/shop.app":                       true,
		"lib/shop-1/priv/nif.so":                         true,
		"lib/shop-1/priv/data.txt":                       false,
		"erts-13.1.5/bin/beam.smp":                       true,
		"bin/shop":                                       false,
		"releases/start_erl.data":                        false,
		"releases/COOKIE":                                false,
		"releases/1/sys.config":                          false,
		"releases/1/consolidated/Elixir.Enumerable.beam": true,
	} {
		in, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		of, err := os.Lstat(filepath.Join(r.Tree, name))
		if err != nil {
			t.Fatal(err)
		}
		if same := os.SameFile(in, of); same != (shared && !s.reflink) {
			t.Errorf("%s: one file: %v, want %v", name, same, shared && !s.reflink)
		}
		if writable := in.Mode()&0o222 != 0; writable == shared {
			t.Errorf("%s: mode %v", name, in.Mode())
		}
		if in.Mode() != of.Mode() || !in.ModTime().Equal(of.ModTime()) {
			t.Errorf("%s: %v of %v, want %v of %v", name, in.Mode(), in.ModTime(), of.Mode(), of.ModTime())
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "bin/also")); err != nil || target != "shop" {
		t.Errorf("link: %q, %v", target, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "log")); err != nil || !info.IsDir() {
		t.Errorf("empty folder: %v, %v", info, err)
	}

	// What one instance writes is nobody else's.
	for _, name := range []string{"releases/1/sys.config", "lib/shop-1/priv/data.txt", "bin/shop"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Error(err)
		}
		if readFile(t, r.Tree, name) == "mine" {
			t.Errorf("%s: written into the shared tree", name)
		}
	}
}

func TestStore_PrepareForAnOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	sh := newShelf(t)
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1", member{name: "bin/also", typ: tar.TypeSymlink, link: "shop"})...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1"})
	if err := s.Prepare(context.Background(), "shop", "shop-aaaaaa", r, &Owner{UID: 12345, GID: 23456}); err != nil {
		t.Fatal(err)
	}
	dir := s.InstanceDir("shop", "shop-aaaaaa")
	owner := func(name string) string {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		return fmt.Sprintf("%d:%d %v", st.Uid, st.Gid, info.Mode().Perm())
	}
	for name, want := range map[string]string{
		".":                                   "0:23456 -rwxr-x---", // only the daemon renames in it
		"new":                                 "12345:23456 -rwxr-xr-x",
		"new/lib/shop-1/ebin":                 "12345:23456 -rwxr-xr-x",
		"new/releases/COOKIE":                 "12345:23456 -rw-------",
		"new/bin/also":                        "12345:23456 -rwxrwxrwx",
		"new/lib/shop-1/ebin/Elixir.App.beam": "0:0 -r--r--r--",
	} {
		if s.reflink && strings.HasSuffix(name, ".beam") {
			want = "12345:23456 -r--r--r--"
		}
		if got := owner(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestStore_PrepareForAReader(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	sh := newShelf(t)
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1")...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1"})
	if err := s.Prepare(context.Background(), "shop", "shop-aaaaaa", r, &Owner{UID: 12345, GID: 23456, ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"new":                 "0:23456 -rwxr-xr-x",
		"new/lib/shop-1/ebin": "0:23456 -rwxr-xr-x",
		"new/releases/COOKIE": "0:23456 -rw-r-----",
	} {
		info, err := os.Lstat(filepath.Join(s.InstanceDir("shop", "shop-aaaaaa"), name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%d:%d %v", st.Uid, st.Gid, info.Mode().Perm()); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestStore_PrepareFails(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1")...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1"})
	for _, name := range []string{"", "..", "a/b", ".part-x"} {
		if err := s.Prepare(context.Background(), "shop", name, r, nil); !errors.Is(err, ErrBadName) {
			t.Errorf("Prepare(%q): %v, want ErrBadName", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Prepare(ctx, "shop", "shop-aaaaaa", r, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Prepare without time: %v, want context.Canceled", err)
	}
	if removed, err := s.Prune("shop", 0, nil); err != nil || len(removed) != 1 {
		t.Fatalf("Prune = %q, %v", removed, err)
	}
	if err := s.Prepare(context.Background(), "shop", "shop-aaaaaa", r, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("Prepare of a pruned release: %v, want ErrNotFound", err)
	}
	if got := folderState(t, s, "shop", "shop-aaaaaa"); got != "none" {
		t.Errorf("failures left a folder: %s", got)
	}
}

// An app owns its folder and may put anything where our mark is.
func TestStore_ForeignMarks(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"release":{"app":"shop","version":"9","sha256":"`+someSum+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(mark string) error{
		"fifo":    func(mark string) error { return syscall.Mkfifo(mark, 0o600) },
		"link":    func(mark string) error { return os.Symlink(secret, mark) },
		"folder":  func(mark string) error { return os.Mkdir(mark, 0o700) },
		"rubbish": func(mark string) error { return os.WriteFile(mark, []byte("{"), 0o600) },
		"path": func(mark string) error {
			return os.WriteFile(mark, []byte(`{"release":{"app":"shop","version":"../../x"}}`), 0o600)
		},
		"other": func(mark string) error {
			return os.WriteFile(mark, []byte(`{"release":{"app":"bank","version":"1"}}`), 0o600)
		},
		"short sum": func(mark string) error {
			return os.WriteFile(mark, []byte(`{"release":{"app":"shop","version":"1","sha256":"../../../x"}}`), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t).open(t)
			current := filepath.Join(s.InstanceDir("shop", "shop-aaaaaa"), "current")
			if err := os.MkdirAll(current, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := make(filepath.Join(current, markFile)); err != nil {
				t.Fatal(err)
			}
			if f, err := s.Instance("shop", "shop-aaaaaa"); err != nil || f.Current != nil {
				t.Errorf("Instance = %+v, %v, want a folder of nothing known", f, err)
			}
			if err := s.RemoveInstance("shop", "shop-aaaaaa"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A folder that another program made (or that lost its mark) is a current like any other.
func TestStore_SwitchOverAForeignCurrent(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1")...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1"})
	dir := s.InstanceDir("shop", "shop-aaaaaa")
	if err := os.MkdirAll(filepath.Join(dir, "current/bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	prepareOK(t, s, "shop-aaaaaa", r)
	if err := s.Switch("shop", "shop-aaaaaa"); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Instance("shop", "shop-aaaaaa"); err != nil || f.Current == nil || f.Previous != nil {
		t.Errorf("Instance = %+v, %v", f, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "previous/bin")); err != nil {
		t.Error(err)
	}
}

func TestStore_RemoveInstanceWithoutPermissions(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1")...))
	s := sh.open(t)
	prepareOK(t, s, "shop-aaaaaa", fetchOK(t, s, "shop", Current{Version: "1"}))
	err := filepath.WalkDir(s.InstanceDir("shop", "shop-aaaaaa"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "ebin" {
			return os.Chmod(name, 0o500)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveInstance("shop", "shop-aaaaaa"); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, sh.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestStore_ManyAtOnce(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	s := sh.open(t)
	for _, v := range []string{"1", "2"} {
		sh.put(t, "shop", v, archiveOf(t, mixRelease("shop", v)...))
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			instance := fmt.Sprintf("shop-%06d", i/2) // two on each folder
			for _, v := range []string{"1", "2"} {
				r, err := s.Fetch(context.Background(), "shop", Current{Version: v})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Prepare(context.Background(), "shop", instance, r, nil); err != nil {
					t.Error(err)
				}
				if err := s.Switch("shop", instance); err != nil && !errors.Is(err, ErrNotPrepared) {
					t.Error(err)
				}
			}
			if _, err := s.Prune("shop", 2, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := s.Instances("shop")
	if err != nil || len(all) != 4 {
		t.Fatalf("Instances = %+v, %v", all, err)
	}
	for _, f := range all {
		if f.Current == nil {
			t.Errorf("%s has no current", f.Instance)
		}
	}
	if left := leftovers(t, sh.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A file system that promised to share blocks may refuse it for a file.
func TestStore_PrepareWhereReflinkFails(t *testing.T) {
	t.Parallel()
	dir := memoryDir(t) // a tmpfs never shares blocks
	sh := shelf{dir: dir, bucket: NewLocalBucket(filepath.Join(dir, "bucket"))}
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1")...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1"})
	s.reflink = true
	prepareOK(t, s, "shop-aaaaaa", r)
	const name = "lib/shop-1/ebin/Elixir.App.beam"
	in, err := os.Lstat(filepath.Join(s.InstanceDir("shop", "shop-aaaaaa"), "new", name))
	if err != nil {
		t.Fatal(err)
	}
	of, err := os.Lstat(filepath.Join(r.Tree, name))
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(in, of) || in.Mode() != of.Mode() || in.Size() != of.Size() || !in.ModTime().Equal(of.ModTime()) {
		t.Errorf("%v and %v, want a copy", in, of)
	}
}
