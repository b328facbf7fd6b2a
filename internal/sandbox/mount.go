package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mount makes a view of the file system of this process's own and says what of it could not be had.
func (e Entry) mount() (missing []string) {
	if os.Geteuid() == 0 {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return []string{"a file system view of its own: " + err.Error()}
		}
	}
	// Nothing of it shows outside; what is mounted outside later shows here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return []string{"a file system view of its own: " + err.Error()}
	}
	kept, err := openAll(e.Keep)
	if err != nil {
		return []string{err.Error()}
	}
	defer func() {
		for _, f := range kept {
			f.Close()
		}
	}()
	note := func(option string, err error) {
		if err != nil {
			missing = append(missing, option+": "+err.Error())
		}
	}
	switch e.ProtectSystem {
	case "true":
		note("protect_system", readOnly(exists("/usr", "/boot", "/efi")))
	case "full":
		note("protect_system", readOnly(exists("/usr", "/boot", "/efi", "/etc")))
	case "strict":
		note("protect_system", readOnlyAll())
	}
	if e.ProtectKernel {
		note("protect_kernel", errors.Join(readOnly(exists("/proc/sys", "/proc/sysrq-trigger", "/sys")), e.hide(exists("/lib/modules", "/usr/lib/modules"))))
	}
	homes := exists("/home", "/root", "/run/user")
	switch e.ProtectHome {
	case "true":
		note("protect_home", e.hide(homes))
	case "read-only":
		note("protect_home", readOnly(homes))
	}
	note("read_only_paths", readOnly(exists(e.ReadOnly...)))
	if e.PrivateDevices {
		note("private_devices", devices())
	}
	if e.PrivateTmp {
		note("private_tmp", e.privateTmp())
	}
	note("inaccessible_paths", e.hide(exists(e.Inaccessible...)))
	note("read_write_paths", writable(exists(e.ReadWrite...)))
	for _, f := range kept { // last: they win
		if err := restore(f); err != nil {
			missing = append(missing, fmt.Sprintf("%s stays as it is: %v", f.Name(), err))
		}
	}
	return missing
}

func openAll(paths []string) (files []*os.File, err error) {
	for _, p := range exists(paths...) {
		fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, &os.PathError{Op: "open", Path: p, Err: err}
		}
		files = append(files, os.NewFile(uintptr(fd), p))
	}
	return files, nil
}

// restore puts a folder back in its place: writable, and there even when a folder above it was hidden.
func restore(f *os.File) error {
	if err := os.MkdirAll(f.Name(), 0o755); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	if err := bind(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), f.Name()); err != nil {
		return err
	}
	return setReadOnly(f.Name(), false)
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return &os.PathError{Op: "bind", Path: to, Err: err}
	}
	return nil
}

// setReadOnly changes a mount and those below it. EINVAL below a path that is no mount.
func setReadOnly(path string, on bool) error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if !on {
		attr = &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, attr); err != nil {
		return &os.PathError{Op: "mount_setattr", Path: path, Err: err} // Linux 5.12
	}
	return nil
}

func readOnly(paths []string) error {
	var errs []error
	for _, p := range paths {
		err := bind(p, p)
		if err == nil {
			err = setReadOnly(p, true)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func writable(paths []string) error {
	var errs []error
	for _, p := range paths {
		err := bind(p, p)
		if err == nil {
			err = setReadOnly(p, false)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// readOnlyAll makes everything read-only but what the kernel makes: /proc, /sys and /dev.
func readOnlyAll() error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	if err := bind("/", "/"); err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		p := filepath.Join("/", entry.Name())
		if entry.IsDir() && p != "/proc" && p != "/sys" && p != "/dev" {
			errs = append(errs, readOnly([]string{p}))
		}
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, attr); err != nil && !errors.Is(err, unix.EINVAL) {
		errs = append(errs, &os.PathError{Op: "mount_setattr", Path: "/", Err: err})
	}
	return errors.Join(errs...)
}

// hide puts an empty folder that nobody may look into over each path. What is kept below it can be reached still.
func (e Entry) hide(paths []string) error {
	var errs []error
	for _, p := range paths {
		st, err := os.Lstat(p)
		switch {
		case err != nil:
		case st.Mode()&os.ModeSymlink != 0: // what it leads to is in the list, or nowhere
		case st.IsDir():
			mode := "000"
			if slices.ContainsFunc(e.Keep, func(k string) bool { return strings.HasPrefix(k, p+"/") }) {
				mode = "111"
			}
			err = unix.Mount("tmpfs", p, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=64k,mode="+mode)
		default:
			err = bind(os.DevNull, p)
		}
		if err != nil {
			errs = append(errs, &os.PathError{Op: "hide", Path: p, Err: err})
		}
	}
	return errors.Join(errs...)
}

// devices gives a /dev with what every program may use and nothing else.
func devices() error {
	names := []string{"null", "zero", "full", "random", "urandom", "tty"}
	files, err := openAll(prefixed("/dev/", names, "pts", "shm", "mqueue"))
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err := unix.Mount("tmpfs", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return &os.PathError{Op: "mount", Path: "/dev", Err: err}
	}
	for _, f := range files {
		st, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if err != nil {
			return err
		}
		if st.IsDir() {
			err = os.Mkdir(f.Name(), 0o755)
		} else {
			err = os.WriteFile(f.Name(), nil, 0o644)
		}
		if err == nil {
			err = bind(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), f.Name())
		}
		if err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, "/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

func prefixed(prefix string, lists []string, more ...string) []string {
	var all []string
	for _, n := range append(lists, more...) {
		all = append(all, prefix+n)
	}
	return all
}

// privateTmp puts folders of the instance's own in the place of /tmp and /var/tmp.
func (e Entry) privateTmp() error {
	if e.Tmp == "" {
		return errors.New("no folder for it")
	}
	shared := exists("/tmp", "/var/tmp")
	var own []string
	for _, p := range shared {
		dir := filepath.Join(e.Tmp, strings.ReplaceAll(strings.TrimPrefix(p, "/"), "/", "-"))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if e.UID != nil {
			if err := os.Lchown(dir, *e.UID, e.GID); err != nil {
				return err
			}
		}
		own = append(own, dir)
	}
	files, err := openAll(own) // they may lie below what is about to be covered
	if err != nil {
		return err
	}
	for i, f := range files {
		err = errors.Join(err, bind(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), shared[i]), f.Close())
	}
	return err
}
