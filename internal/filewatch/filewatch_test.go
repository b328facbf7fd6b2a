package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watched starts a watch and gives a function that waits for the next call.
func watched(t *testing.T, path string, o Options) (await func(what string), calls chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	calls = make(chan struct{}, 1000)
	done := make(chan struct{})
	w := New(path, o)
	go func() {
		defer close(done)
		w.Run(ctx, func() { calls <- struct{}{} })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func(what string) {
		t.Helper()
		select {
		case <-calls:
		case <-time.After(30 * time.Second):
			t.Fatalf("not told of: %s", what)
		}
	}, calls
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

// byEvents leaves everything to the kernel: the poll is far away.
var byEvents = Options{Quiet: 20 * time.Millisecond, Poll: time.Hour}

func TestWatch_InPlaceReplacedGoneAndBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "f.yaml")
	write(t, file, "1")
	await, _ := watched(t, file, byEvents)
	write(t, file, "22")
	await("a change in place")
	write(t, file+".new", "333")
	rename(t, file+".new", file)
	await("a file put in its place")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await("its removal")
	write(t, file, "4")
	await("a new one")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	await("the removal of its folder")
	write(t, file, "5")
	await("the folder's return")
}

func TestWatch_LinkSwapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "f.yaml"), "a")
	write(t, filepath.Join(dir, "b", "f.yaml"), "b")
	symlink(t, "a", filepath.Join(dir, "now"))
	await, _ := watched(t, filepath.Join(dir, "now", "f.yaml"), byEvents)
	symlink(t, "b", filepath.Join(dir, "next"))
	rename(t, filepath.Join(dir, "next"), filepath.Join(dir, "now")) // ln -sfn
	await("the link to lead elsewhere")
	write(t, filepath.Join(dir, "b", "f.yaml"), "bb")
	await("a change where it leads now")
}

// As Kubernetes does it: f.yaml → ..data/f.yaml, ..data → ..v1.
func TestWatch_LinkOfLinksSwapped(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "..v1", "f.yaml"), "1")
	symlink(t, "..v1", filepath.Join(dir, "..data"))
	symlink(t, "..data/f.yaml", filepath.Join(dir, "f.yaml"))
	symlink(t, filepath.Join(dir, "f.yaml"), filepath.Join(other, "mine.yaml"))
	await, _ := watched(t, filepath.Join(other, "mine.yaml"), byEvents)
	write(t, filepath.Join(dir, "..v2", "f.yaml"), "2")
	symlink(t, "..v2", filepath.Join(dir, "..data_tmp"))
	rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
	await("another ..data")
}

func TestWatch_ManyWritesAreFewCalls(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "")
	await, calls := watched(t, file, Options{Quiet: 500 * time.Millisecond, Poll: time.Hour})
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 200 {
		if _, err := f.WriteString("x\n"); err != nil {
			t.Fatal(err)
		}
	}
	await("the writes")
	if n := len(calls); n > 3 {
		t.Errorf("told %d times more", n)
	}
}

func TestWatch_PollsWhereTheKernelTellsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "1")
	w := New(file, Options{Quiet: time.Millisecond, Poll: 10 * time.Millisecond})
	if err := w.fs.Close(); err != nil {
		t.Fatal(err)
	}
	w.fs = &fsnotify.Watcher{}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	write(t, file, "22")
	w.Run(ctx, cancel)
	if ctx.Err() != context.Canceled { //nolint:errorlint // it is no other one
		t.Error("not told of the change")
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "real", "f"), "")
	symlink(t, "real", filepath.Join(dir, "link"))
	symlink(t, "loop", filepath.Join(dir, "loop"))
	for path, want := range map[string][]string{
		"real/f":    {"real"},
		"link/f":    {".", "real"},
		"none/at/f": {"."},
	} {
		var full []string
		for _, w := range want {
			full = append(full, filepath.Join(dir, w))
		}
		if got := folders(filepath.Join(dir, path)); !slices.Equal(got, full) {
			t.Errorf("folders(%s) = %v, want %v", path, got, full)
		}
	}
	if got := folders(filepath.Join(dir, "loop", "f")); len(got) == 0 || len(got) > maxLinks+1 {
		t.Errorf("a loop gives %d folders", len(got))
	}
}
