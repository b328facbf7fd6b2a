package vmtest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// files are what a machine is booted with.
type files struct{ kernel, initial, root, payload string }

// Missing says what this host lacks to boot a machine, "" if nothing.
func Missing() string {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "only Linux on amd64 is emulated"
	}
	for _, name := range []string{"qemu-system-x86_64", "mkfs.ext4"} {
		if _, err := exec.LookPath(name); err != nil {
			return err.Error()
		}
	}
	cache, err := cached()
	if err != nil {
		return err.Error()
	}
	for _, name := range []string{"kernel-cloud", "systemd-trixie"} {
		if _, err := os.Stat(filepath.Join(cache, name, ".complete")); err != nil {
			return err.Error()
		}
	}
	return ""
}

func cached() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "beamkeeper"), err
}

// prepare makes in dir the disks and the initial file system. A disk is made in a second, and is sparse.
func prepare(dir, payload string) (files, error) {
	cache, err := cached()
	if err != nil {
		return files{}, err
	}
	kernel := filepath.Join(cache, "kernel-cloud")
	f := files{
		kernel: filepath.Join(kernel, "vmlinuz"), initial: filepath.Join(dir, "initial"),
		root: filepath.Join(dir, "root.img"), payload: filepath.Join(dir, "payload.img"),
	}
	if err := makeDisk(f.root, "2G", filepath.Join(cache, "systemd-trixie")); err != nil {
		return f, err
	}
	if err := makeDisk(f.payload, "512M", payload); err != nil {
		return f, err
	}
	_, self, _, _ := runtime.Caller(0)
	guest := filepath.Join(dir, "guest")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", guest, ".")
	build.Dir = filepath.Join(filepath.Dir(self), "..", "..", "testdata", "testbed", "guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return f, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return f, makeInitial(f.initial, guest, filepath.Join(kernel, "modules"))
}

func makeDisk(path, size, from string) error {
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", from, path, size).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mkfs.ext4 -d %s: %w: %s", from, err, out)
	}
	return nil
}

// makeInitial writes the initial file system: /init, the kernel's modules, and /modules with their names.
func makeInitial(path, init, modules string) error {
	var c cpio
	program, err := os.ReadFile(init)
	if err != nil {
		return err
	}
	c.add("init", 0o755, program)
	var names []string
	err = filepath.WalkDir(modules, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		c.add(d.Name(), 0o644, b)
		names = append(names, "/"+d.Name())
		return err
	})
	if err != nil {
		return err
	}
	c.add("modules", 0o644, []byte(strings.Join(names, "\n")))
	return os.WriteFile(path, c.close(), 0o644)
}

// cpio is an archive in the "newc" format, which the kernel unpacks.
//
// Spec: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
type cpio struct {
	b []byte
	n int
}

func (c *cpio) add(name string, mode int, content []byte) {
	const regular = 0o100000
	if content != nil {
		mode |= regular
	}
	c.n++
	c.b = fmt.Appendf(c.b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.n, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	c.pad()
	c.b = append(c.b, content...)
	c.pad()
}

func (c *cpio) pad() {
	for len(c.b)%4 != 0 {
		c.b = append(c.b, 0)
	}
}

func (c *cpio) close() []byte {
	c.add("TRAILER!!!", 0, nil)
	return c.b
}
