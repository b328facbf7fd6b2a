package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary, started again with this variable set to a folder, does one operation on the store there and kills
// itself at a step of it.
const crashEnv = "RELEASE_TEST_CRASH"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		os.Exit(crashChild(dir, os.Getenv(crashEnv+"_OP"), os.Getenv(crashEnv+"_AT")))
	}
	os.Exit(m.Run())
}

func crashChild(dir, op, at string) int {
	n, err := strconv.Atoi(at)
	if err != nil {
		return 2
	}
	counting := op == "open" // the other operations begin after opening
	sh := shelf{dir: dir, bucket: NewLocalBucket(filepath.Join(dir, "bucket"))}
	cfg := sh.config()
	cfg.Step = func(step string) {
		if !counting {
			return
		}
		if n--; n == 0 {
			fmt.Println(step)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if strings.HasSuffix(op, "by hand") {
		cfg.exchange = func(string, string) error { return errors.ErrUnsupported }
	}
	s, err := OpenStore(cfg)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	counting = true
	switch op {
	case "open":
	case "fetch":
		_, err = s.Fetch(context.Background(), "shop", Current{Version: "2"})
	case "prepare":
		var all []Release
		if all, err = s.Releases("shop"); err == nil {
			i := slices.IndexFunc(all, func(r Release) bool { return r.Version == "2" })
			err = s.Prepare(context.Background(), "shop", "shop-aaaaaa", all[i], nil)
		}
	case "switch", "switch by hand":
		err = s.Switch("shop", "shop-aaaaaa")
	case "remove":
		err = s.RemoveInstance("shop", "shop-aaaaaa")
	case "limited": // the size of a file
		signal.Ignore(syscall.SIGXFSZ)
		limit := unix.Rlimit{Cur: uint64(n), Max: uint64(n)}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			fmt.Println(err)
			return 2
		}
		n = 0
		_, err = s.Fetch(context.Background(), "shop", Current{Version: "2"})
		var e *Error
		if errors.Is(err, ErrNoSpace) && errors.As(err, &e) {
			fmt.Println(e.Op)
			return 0
		}
	}
	if err != nil {
		fmt.Println(err)
		return 2
	}
	return 0
}

// crashAt runs op and kills it at its nth step. It returns the step, or nothing when op came to its end.
func crashAt(t *testing.T, sh shelf, op string, n int) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashEnv+"="+sh.dir, crashEnv+"_OP="+op, crashEnv+"_AT="+strconv.Itoa(n))
	out, err := cmd.Output()
	if err == nil {
		return ""
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s: %v: %s", op, err, out)
	}
	return strings.TrimSpace(string(out))
}

// memoryDir is a folder in memory, if there can be one, for what is done a thousand times.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "release-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// crashShelf has version 1 published, fetched, and as the instance's current, previous and new as asked for, and
// version 2 published.
func crashShelf(t *testing.T, state string) shelf {
	t.Helper()
	dir := memoryDir(t) // a killed process is not a power cut
	sh := shelf{dir: dir, bucket: NewLocalBucket(filepath.Join(dir, "bucket"))}
	s := sh.open(t)
	releases := make(map[string]Release)
	for _, v := range []string{"0", "1", "2"} {
		sh.put(t, "shop", v, archiveOf(t, mixRelease("shop", v)...))
		if state != "unfetched" {
			releases[v] = fetchOK(t, s, "shop", Current{Version: v})
		}
	}
	for _, v := range strings.Fields(state) {
		if r, ok := releases[v]; ok {
			prepareOK(t, s, "shop-aaaaaa", r)
		}
		if v == "switch" {
			if err := s.Switch("shop", "shop-aaaaaa"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return sh
}

// crashEverywhere kills op at each of its steps in turn, and the opening after it at each of its steps, and lets check
// look at the store that is opened at last.
func crashEverywhere(t *testing.T, op, state string, check func(t *testing.T, s *Store, step string)) {
	t.Helper()
	for n := 1; ; n++ {
		for m := 0; ; m++ {
			sh := crashShelf(t, state)
			step := crashAt(t, sh, op, n)
			if step == "" && m > 0 {
				break
			}
			name := step
			if m > 0 {
				again := crashAt(t, sh, "open", m)
				if again == "" {
					break
				}
				name += ", then " + again
			}
			s := sh.open(t)
			if left := leftovers(t, s.dir); len(left) > 0 {
				t.Errorf("killed at %q: left behind %q", name, left)
			}
			check(t, s, step)
			if t.Failed() {
				t.Fatalf("killed at %q", name)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if step == "" {
				if n < 2 {
					t.Fatalf("%s has no steps", op)
				}
				return
			}
		}
	}
}

func TestStore_FetchKilledAnywhere(t *testing.T) {
	t.Parallel()
	crashEverywhere(t, "fetch", "unfetched", func(t *testing.T, s *Store, step string) {
		all, err := s.Releases("shop")
		if err != nil {
			t.Fatal(err)
		}
		whole := step == "" || step == "sync folder"
		if whole != (len(all) == 1) {
			t.Errorf("releases %+v", all)
		}
		if files := filesBelow(t, s.dir); !whole && len(files) > 0 {
			t.Errorf("left behind: %q", files)
		}
		r := fetchOK(t, s, "shop", Current{Version: "2"})
		if got := readFile(t, r.Tree, "releases/start_erl.data"); got != "13.1.5 2" || r.Archive == "" {
			t.Errorf("tree %q, archive %q", got, r.Archive)
		}
	})
}

func TestStore_PrepareKilledAnywhere(t *testing.T) {
	t.Parallel()
	crashEverywhere(t, "prepare", "0 switch 1", func(t *testing.T, s *Store, step string) {
		switch got := folderState(t, s, "shop", "shop-aaaaaa"); got {
		case "1/0/-", "2/0/-":
		case "-/0/-":
			if step != "rename new" {
				t.Errorf("folder is %s", got)
			}
		default:
			t.Errorf("folder is %s", got)
		}
		all, err := s.Releases("shop")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(r Release) bool { return r.Version == "2" })
		prepareOK(t, s, "shop-aaaaaa", all[i])
		if got := folderState(t, s, "shop", "shop-aaaaaa"); got != "2/0/-" {
			t.Errorf("folder is %s after Prepare", got)
		}
	})
}

func TestStore_SwitchKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"switch", "switch by hand"} {
		for state, want := range map[string][2]string{
			"0 switch 1 switch 2": {"2/1/0", "-/2/1"},
			"1 switch 2":          {"2/1/-", "-/2/1"},
			"2":                   {"2/-/-", "-/2/-"},
		} {
			if op != "switch" && state == "2" {
				continue // there is nothing to exchange
			}
			t.Run(op+" "+state, func(t *testing.T) {
				t.Parallel()
				crashEverywhere(t, op, state, func(t *testing.T, s *Store, step string) {
					got := folderState(t, s, "shop", "shop-aaaaaa")
					if got != want[0] && got != want[1] {
						t.Errorf("folder is %s, want %s or %s", got, want[0], want[1])
					}
					if got == want[0] {
						if err := s.Switch("shop", "shop-aaaaaa"); err != nil {
							t.Error(err)
						}
						if got := folderState(t, s, "shop", "shop-aaaaaa"); got != want[1] {
							t.Errorf("folder is %s after Switch, want %s", got, want[1])
						}
					}
				})
			})
		}
	}
}

func TestStore_RemoveKilledAnywhere(t *testing.T) {
	t.Parallel()
	crashEverywhere(t, "remove", "0 switch 1 switch 2", func(t *testing.T, s *Store, step string) {
		if got := folderState(t, s, "shop", "shop-aaaaaa"); got != "none" && got != "2/1/0" {
			t.Errorf("folder is %s", got)
		}
	})
}

// A file size limit is the full disk that needs no root.
func TestStore_FetchOverAFileSizeLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		body string
		op   string
	}{
		{"while downloading", noise(100_000), "fetch"},
		{"while unpacking", strings.Repeat("a", 100_000), "unpack"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sh := newShelf(t)
			sh.put(t, "shop", "2", archiveOf(t, append(mixRelease("shop", "2"), member{name: "big", body: tt.body})...))
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), crashEnv+"="+sh.dir, crashEnv+"_OP=limited", crashEnv+"_AT=50000")
			out, err := cmd.CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != tt.op {
				t.Errorf("%v: %s, want ErrNoSpace from %s", err, out, tt.op)
			}
			if left := filesBelow(t, filepath.Join(sh.dir, "var")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestStore_FullDisk(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	dir := filepath.Join(sh.dir, "var")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := OpenStore(sh.config())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// An instance of a release that fits, which must not notice.
	sh.put(t, "shop", "1", archiveOf(t, mixRelease("shop", "1")...))
	prepareOK(t, s, "shop-aaaaaa", fetchOK(t, s, "shop", Current{Version: "1"}))
	before := filesBelow(t, dir)
	for name, tt := range map[string]struct{ body, op string }{
		"archive too large": {noise(300_000), "fetch"},
		"tree too large":    {strings.Repeat("a", 300_000), "unpack"},
	} {
		sh.put(t, "shop", "2", archiveOf(t, append(mixRelease("shop", "2"), member{name: "big", body: tt.body})...))
		_, err := s.Fetch(context.Background(), "shop", Current{Version: "2"})
		var e *Error
		if !errors.Is(err, ErrNoSpace) || !errors.As(err, &e) || e.Op != tt.op {
			t.Errorf("%s: Fetch: %v, want ErrNoSpace from %s", name, err, tt.op)
		}
		if after := filesBelow(t, dir); !slices.Equal(after, before) {
			t.Errorf("%s: left behind: %q, had %q", name, after, before)
		}
	}
	// The bucket's disk is the other one; the same goes for publishing to a full bucket.
	full := NewLocalBucket(filepath.Join(dir, "bucket"))
	err = full.Put(context.Background(), "dist/shop/x", strings.NewReader(noise(300_000)), 300_000)
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("Put: %v, want ErrNoSpace", err)
	}
	if after := filesBelow(t, dir); !slices.Equal(after, before) {
		t.Errorf("Put left behind: %q, had %q", after, before)
	}
	// Room enough, it works again.
	sh.put(t, "shop", "2", archiveOf(t, mixRelease("shop", "2")...))
	r := fetchOK(t, s, "shop", Current{Version: "2"})

	// No room for the copies of an instance's folder.
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 300_000), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	for _, instance := range []string{"shop-aaaaaa", "shop-bbbbbb"} {
		if err := s.Prepare(context.Background(), "shop", instance, r, nil); !errors.Is(err, ErrNoSpace) {
			t.Errorf("Prepare: %v, want ErrNoSpace", err)
		}
	}
	if a, b := folderState(t, s, "shop", "shop-aaaaaa"), folderState(t, s, "shop", "shop-bbbbbb"); a != "1/-/-" || b != "none" {
		t.Errorf("folders are %s and %s, want 1/-/- and none", a, b)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	prepareOK(t, s, "shop-bbbbbb", r)
}
