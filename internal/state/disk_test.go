package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of so many bytes in memory.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk writes until nothing fits any more.
func fillDisk(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 4096); err == nil; _, err = f.Write(b) {
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return file
}

func TestUpdate_AFullDiskDoesNotStopIt(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "16m")
	s := open(t, filepath.Join(disk, "state"))
	fill(t, s, 100)
	fillDisk(t, disk)
	fill(t, s, 2000)
	if _, err := s.Backup(); err == nil || !strings.Contains(err.Error(), unix.ENOSPC.Error()) { // bbolt tells the text only
		t.Errorf("Backup on a full disk: %v", err)
	}
	if list, _ := filepath.Glob(filepath.Join(disk, "state", backupsDir, "*")); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, filepath.Join(disk, "state")) // a daemon can start there
	fill(t, s, 100)
}

func TestUpdate_TellsWhenTheDiskTakesNothing(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "48m")
	s := open(t, filepath.Join(disk, "state"))
	fill(t, s, 100)
	var told []error
	s.OnTrouble(func(err error) { told = append(told, err) })
	file := fillDisk(t, disk)
	big := strings.Repeat("x", 1<<20)
	put := func(n int) error {
		return s.Update(func(tx *Tx) error {
			for i := range n {
				if err := tx.PutApp(App{Name: string(rune('a' + i)), Current: big}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := put(8) // more than is set aside
	var failed *WriteError
	if !errors.As(err, &failed) {
		t.Fatalf("Update on a full disk: %v", err)
	}
	if again := put(8); again == nil {
		t.Error("the second Update went well")
	}
	if since, err := s.Trouble(); err == nil || since.IsZero() || len(told) != 1 || told[0] == nil {
		t.Errorf("trouble %v since %v, told %v", err, since, told)
	}
	if e, err := s.Export(); err != nil || len(e.Apps) != 1 {
		t.Errorf("after a failed Update: %+v, %v", e.Apps, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := put(8); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if _, err := s.Trouble(); err != nil || len(told) != 2 || told[1] != nil {
		t.Errorf("trouble %v, told %v", err, told)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Join(disk, "state"))
}

// A file system that has become read-only, as ext4 does after an error of its disk.
func TestUpdate_AReadOnlyFolder(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "16m")
	s := open(t, filepath.Join(disk, "state"))
	fill(t, s, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT|flags, "size=16m"); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	if _, err := Open(filepath.Join(disk, "state")); !errors.Is(err, unix.EROFS) {
		t.Errorf("Open: %v", err)
	}
	remount(0)
	open(t, filepath.Join(disk, "state"))
}
