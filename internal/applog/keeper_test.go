package applog

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keeping is a Keeper whose alarms are heard.
type keeping struct {
	*looking
	alarms []Alarm
	policy Policy
	here   map[string]bool
}

func newKeeping(t *testing.T, dir string) *keeping {
	k := &keeping{here: map[string]bool{}}
	k.looking = newLooking(&Keeper{
		Dir:    dir,
		Policy: func(app string) (Policy, bool) { return k.policy, app != "foreign" },
		Here:   func() (map[string]bool, error) { return k.here, nil },
		Space:  func() Space { return Space{MinBytes: -1, MinPercent: -1} },
		Tell:   func(a Alarm) { k.alarms = append(k.alarms, a) },
	})
	return k
}

func (k *keeping) names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func logName(instance string) string { return instance + "-stdout.log" }

func archiveName(instance string, n int) string {
	at := time.Date(2026, 1, 1, n, 0, 0, 0, time.UTC)
	return filepath.Base(archivePath(logName(instance), at, int64(n)*1000))
}

func fillFile(t *testing.T, path string, size int, age time.Duration) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x\n", size/2)), 0o640); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestKeeper_Retention(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := filepath.Join(dir, "shop")
	k := newKeeping(t, dir)
	k.policy = Policy{Archives: 2, GoneInstances: 2, GoneAge: 48 * time.Hour}
	k.here["shop-live01"] = true
	fillFile(t, filepath.Join(app, logName("shop-live01")), 100, 100*24*time.Hour) // quiet, but it exists
	for n := range 4 {
		fillFile(t, filepath.Join(app, archiveName("shop-live01", n)), 100, 0)
	}
	for i, age := range []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour, 72 * time.Hour} {
		fillFile(t, filepath.Join(app, logName(fmt.Sprintf("shop-gone%02d", i))), 100, age)
	}
	// the archives of one whose live file is gone
	fillFile(t, filepath.Join(app, archiveName("shop-gone09", 1)), 100, 0)
	// a gone one that somebody still writes to, and files of others
	fillFile(t, filepath.Join(app, logName("shop-write1")), 100, 96*time.Hour)
	writer, err := os.OpenFile(filepath.Join(app, logName("shop-write1")), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	fillFile(t, filepath.Join(app, "notes.txt"), 100, 999*time.Hour)
	fillFile(t, filepath.Join(dir, "foreign", logName("foreign-abc123")), 100, 999*time.Hour)

	k.look(t.Context())
	want := []string{
		"notes.txt", logName("shop-gone00"), logName("shop-gone01"),
		logName("shop-live01"), archiveName("shop-live01", 2), archiveName("shop-live01", 3), logName("shop-write1"),
	}
	if got := k.names(t, app); !slices.Equal(got, want) {
		t.Errorf("left: %q\nwant %q", got, want)
	}
	k.policy.GoneInstances, k.policy.GoneAge, k.tidied = 10, 90*time.Minute, time.Time{}
	k.look(t.Context())
	if got := k.names(t, app); slices.Contains(got, logName("shop-gone01")) || !slices.Contains(got, logName("shop-gone00")) {
		t.Errorf("left by age: %q", got)
	}
	if got := k.names(t, filepath.Join(dir, "foreign")); len(got) != 1 {
		t.Errorf("of a folder that is none of ours is left %q", got)
	}
}

func TestKeeper_Budget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := filepath.Join(dir, "shop")
	k := newKeeping(t, dir)
	k.policy = Policy{Bytes: 100 << 10, MaxAge: -1}
	k.here["shop-live01"] = true
	fillFile(t, filepath.Join(app, logName("shop-live01")), 40<<10, 0)
	for n := range 3 {
		fillFile(t, filepath.Join(app, archiveName("shop-live01", n)), 20<<10, 0)
	}
	fillFile(t, filepath.Join(app, logName("shop-gone01")), 40<<10, time.Hour)
	k.look(t.Context())
	want := []string{logName("shop-live01"), archiveName("shop-live01", 0), archiveName("shop-live01", 1), archiveName("shop-live01", 2)}
	if got := k.names(t, app); !slices.Equal(got, want) {
		t.Errorf("left: %q, want what is gone to go first: %q", got, want)
	}
	k.policy.Bytes, k.tidied = 70<<10, time.Time{}
	k.look(t.Context())
	want = []string{logName("shop-live01"), archiveName("shop-live01", 2)}
	if got := k.names(t, app); !slices.Equal(got, want) {
		t.Errorf("left: %q, want the oldest archives gone: %q", got, want)
	}
	k.policy.Bytes, k.tidied = 10<<10, time.Time{}
	k.look(t.Context())
	if got := k.names(t, app); !slices.Equal(got, want[:1]) {
		t.Errorf("left: %q, want the live file", got)
	}
	if p := k.Problems(); len(p) != 1 || !strings.Contains(p[0].What, "budget") {
		t.Errorf("problems: %+v, want that of the budget", p)
	}
}

func TestKeeper_RotatesBySizeAndAge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := filepath.Join(dir, "shop")
	k := newKeeping(t, dir)
	k.here["shop-live01"] = true
	path := filepath.Join(app, logName("shop-live01"))
	fillFile(t, path, 100<<10, 0)
	k.look(t.Context())
	if got := k.names(t, app); len(got) != 1 {
		t.Errorf("rotated before its time: %q", got)
	}
	k.policy.MaxAge = time.Nanosecond
	k.look(t.Context())
	if got := k.names(t, app); len(got) != 2 {
		t.Errorf("not rotated by age: %q", got)
	}
	k.policy = Policy{MaxBytes: 64 << 10}
	appendTo(t, path, numbered(0, 300))
	k.look(t.Context())
	if got := k.names(t, app); len(got) != 2 {
		t.Errorf("rotated before its size: %q", got)
	}
	appendTo(t, path, numbered(300, 900))
	k.look(t.Context())
	if got := k.names(t, app); len(got) != 3 {
		t.Errorf("not rotated by size: %q", got)
	}
}

// tmpfs mounts a small file system of its own.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "none", dir).CombinedOutput(); err != nil {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatalf("root cannot mount: %v %s", err, out)
		}
		t.Skipf("no mount here: %v %s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestKeeper_DiskFull(t *testing.T) {
	t.Parallel()
	dir := tmpfs(t, "4m")
	app := filepath.Join(dir, "shop")
	k := newKeeping(t, dir)
	k.policy.MaxAge = -1
	k.Space = func() Space { return Space{MinBytes: 2 << 20, MinPercent: -1} }
	k.here["shop-live01"] = true
	live := filepath.Join(app, logName("shop-live01"))
	fillFile(t, live, 1<<20, 0)
	for n := range 4 {
		fillFile(t, filepath.Join(app, archiveName("shop-live01", n)), 512<<10, 0)
	}
	k.look(t.Context())
	want := []string{logName("shop-live01"), archiveName("shop-live01", 2), archiveName("shop-live01", 3)}
	if got := k.names(t, app); !slices.Equal(got, want) {
		t.Errorf("left: %q, want the oldest archives gone: %q", got, want)
	}
	if len(k.alarms) != 1 || k.alarms[0].Grave || k.alarms[0].Data["removed"] != 2 || len(k.Problems()) != 0 {
		t.Errorf("alarms: %+v, problems %+v", k.alarms, k.Problems())
	}
	appendTo(t, live, strings.Repeat("y\n", 700<<10))
	k.look(t.Context())
	k.look(t.Context())
	if got := k.names(t, app); !slices.Equal(got, want[:1]) {
		t.Errorf("left: %q, want the live file", got)
	}
	if st, err := os.Stat(live); err != nil || st.Size() != 1<<20+1400<<10 {
		t.Errorf("the live file has %d bytes, %v: none may be lost", st.Size(), err)
	}
	p := k.Problems()
	if len(p) != 1 || !p[0].Grave || len(k.alarms) != 2 || !k.alarms[1].Grave {
		t.Errorf("problems: %+v, alarms %+v, want one, told once", p, k.alarms)
	}
	if err := os.Remove(live); err != nil {
		t.Fatal(err)
	}
	k.look(t.Context())
	if p := k.Problems(); len(p) != 0 {
		t.Errorf("problems with space again: %+v", p)
	}
}

// A disk that is full while a rotation writes its archive loses nothing either.
func TestRotation_DiskFull(t *testing.T) {
	t.Parallel()
	dir := tmpfs(t, "3m")
	path := filepath.Join(dir, "shop", logName("shop-live01"))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	noise := exec.Command("sh", "-c", "head -c 2000000 /dev/urandom | base64 > "+path)
	if out, err := noise.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeping(t, dir)
	k.policy = Policy{MaxBytes: 1 << 20}
	k.look(t.Context())
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the live file has %d bytes after a rotation that failed, %v, want %d", len(after), err, len(before))
	}
	if got := k.names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("left over: %q", got)
	}
	if p := k.Problems(); len(p) != 1 || !strings.Contains(p[0].What, "no space left") {
		t.Errorf("problems: %+v", p)
	}
}

func TestDumps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dumps := DumpDir(dir, "shop")
	from := filepath.Join(dir, "run", "erl_crash.dump")
	if _, ok, err := CollectDump(from, dumps, "shop-abc123", time.Now(), false); ok || err != nil {
		t.Errorf("without a dump: %v, %v", ok, err)
	}
	text := "=erl_crash_dump:0.5\nFri Nov 20 14:59:54 2026\nSlogan: Kernel pid terminated (a) (b)\nx\n=end\n"
	write := func(text string, age time.Duration) {
		fillFile(t, from, 2, 0)
		if err := os.WriteFile(from, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(from, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(text, time.Hour)
	if _, ok, _ := CollectDump(from, dumps, "shop-abc123", time.Now(), false); ok {
		t.Error("the dump of an earlier run was taken")
	}
	d, ok, err := CollectDump(from, dumps, "shop-abc123", time.Now().Add(-2*time.Hour), true)
	if err != nil || !ok || d.Path != from || !d.Whole || d.Slogan != "Kernel pid terminated (a) (b)" || d.Bytes != int64(len(text)) {
		t.Errorf("kept: %+v, %v, %v", d, ok, err)
	}
	k := newKeeping(t, dir)
	k.policy = Policy{Dumps: 3}
	for i := range 5 {
		write(text[:len(text)-5], time.Duration(10-i)*time.Hour)
		d, ok, err := CollectDump(from, dumps, "shop-abc123", time.Now().Add(-24*time.Hour), false)
		if err != nil || !ok || filepath.Dir(d.Path) != dumps || d.Whole {
			t.Fatalf("collected: %+v, %v, %v", d, ok, err)
		}
		if _, err := os.Stat(from); err == nil {
			t.Error("it is still there")
		}
	}
	k.look(t.Context())
	if got := k.names(t, dumps); len(got) != 3 {
		t.Errorf("kept %q, want 3", got)
	}
	k.policy, k.tidied = Policy{DumpBytes: 1}, time.Time{}
	k.look(t.Context())
	if got := k.names(t, dumps); len(got) != 1 {
		t.Errorf("kept %q, want the last", got)
	}
	write(text, 0)
	if WritingDump(os.Getpid(), from) {
		t.Error("nobody writes it")
	}
	f, err := os.OpenFile(from, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !WritingDump(os.Getpid(), from) {
		t.Error("we have it open")
	}
}

// Between two lists of the folders only the known files are looked at; what grows, goes or comes is seen all the same.
func TestLooking_ListsNowAndThen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "shop"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "shop", name), bytes.Repeat([]byte("x"), n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := newLooking(&Keeper{Dir: dir, Policy: func(string) (Policy, bool) { return Policy{}, true }})
	sizes := func() map[string]int64 {
		m := make(map[string]int64)
		for _, f := range l.current() {
			for path, file := range f.files {
				m[filepath.Base(path)] = file.live.Size()
			}
		}
		return m
	}
	write("shop-aaaaaa-stdout.log", 1)
	sizes()
	write("shop-aaaaaa-stdout.log", 2)
	write("shop-bbbbbb-stdout.log", 3)
	if got := sizes(); len(got) != 1 || got["shop-aaaaaa-stdout.log"] != 2 {
		t.Errorf("the second look sees %v", got)
	}
	for range listEvery {
		sizes()
	}
	if got := sizes(); len(got) != 2 || got["shop-bbbbbb-stdout.log"] != 3 {
		t.Errorf("later it sees %v", got)
	}
	l.current()
	if err := os.Remove(filepath.Join(dir, "shop", "shop-aaaaaa-stdout.log")); err != nil {
		t.Fatal(err)
	}
	if got := sizes(); len(got) != 1 {
		t.Errorf("after the end of one it sees %v", got)
	}
}
