package host

import (
	"path/filepath"
	"testing"
)

func TestFacts_OfThisMachine(t *testing.T) {
	t.Parallel()
	if m, err := ReadMemory(t.Context()); err != nil || m.Total == 0 || m.Available == 0 || m.Available > m.Total {
		t.Errorf("ReadMemory = %+v, %v", m, err)
	}
	dir := t.TempDir()
	d, err := ReadDisk(t.Context(), filepath.Join(dir, "not", "there"))
	if err != nil || d.Path != dir || d.Total == 0 || d.Free > d.Total {
		t.Errorf("ReadDisk = %+v, %v, want the file system of %s", d, err, dir)
	}
	if n, err := ReadInotify(); err != nil || n.Instances <= 0 || n.Watches <= 0 {
		t.Errorf("ReadInotify = %+v, %v", n, err)
	}
	if n, err := OpenFiles(); err != nil || n == 0 {
		t.Errorf("OpenFiles = %d, %v", n, err)
	}
}
