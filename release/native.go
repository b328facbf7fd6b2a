package release

import (
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Native is a program or library for one kind of machine: ERTS, port programs, NIFs and drivers.
type Native struct {
	Path    string   `json:"path"`
	Digest  string   `json:"digest"`
	Machine string   `json:"machine"`            // as Go calls it: amd64, arm64
	GLIBC   string   `json:"glibc,omitempty"`    // the newest version of the C library whose symbols it needs
	Needs   []string `json:"needs,omitempty"`    // libraries
	RunPath []string `json:"run_path,omitempty"` // folders where it looks for them first
	Loader  string   `json:"loader,omitempty"`   // of a program: the dynamic loader that starts it
}

// maxLoader bounds the path of a dynamic loader.
const maxLoader = 4096

var machines = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64",
	elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x",
}

// isELF says whether a file begins as one.
func isELF(b []byte) bool { return bytes.HasPrefix(b, []byte(elf.ELFMAG)) }

func parseNative(path, digest string, r io.ReaderAt) (Native, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return Native{}, fmt.Errorf("%s: %w", path, err)
	}
	n := Native{Path: path, Digest: digest, Machine: machines[f.Machine]}
	if n.Machine == "" {
		n.Machine = f.Machine.String()
	}
	n.Needs, _ = f.ImportedLibraries() // a static one has no such section
	slices.Sort(n.Needs)
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < maxLoader {
			b := make([]byte, p.Filesz)
			if _, err := io.ReadFull(p.Open(), b); err == nil {
				n.Loader = string(bytes.TrimRight(b, "\x00"))
			}
		}
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		paths, _ := f.DynString(tag) // likewise
		for _, p := range paths {
			n.RunPath = append(n.RunPath, strings.Split(p, ":")...)
		}
	}
	needs, err := f.DynamicVersionNeeds()
	if err != nil {
		return n, nil // it says nothing of versions
	}
	for _, lib := range needs {
		for _, dep := range lib.Needs {
			if v, ok := strings.CutPrefix(dep.Dep, "GLIBC_"); ok && v[0] >= '0' && v[0] <= '9' && compareNumbers(v, n.GLIBC) > 0 {
				n.GLIBC = v
			}
		}
	}
	return n, nil
}

// compareNumbers compares 2.9 and 2.36 number by number.
func compareNumbers(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			fmt.Sscanf(as[i], "%d", &x)
		}
		if i < len(bs) {
			fmt.Sscanf(bs[i], "%d", &y)
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// Host is what a machine offers to natives.
type Host struct {
	Machine   string   `json:"machine"`             // amd64, arm64
	GLIBC     string   `json:"glibc,omitempty"`     // version of its C library; empty: not known, or another C library
	Libraries []string `json:"libraries,omitempty"` // names of its shared libraries, sorted; nil: not known

	here bool // it is the one that we are on
}

// ThisHost looks at the machine that we are on.
func ThisHost() Host {
	h := Host{Machine: runtime.GOARCH, here: true}
	names := make(map[string]string)
	for _, dir := range libraryFolders() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), ".so") && names[e.Name()] == "" {
				names[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	for name := range names {
		h.Libraries = append(h.Libraries, name)
	}
	slices.Sort(h.Libraries)
	f, err := elf.Open(names["libc.so.6"])
	if err != nil {
		return h
	}
	defer f.Close()
	versions, err := f.DynamicVersions()
	if err != nil {
		return h
	}
	for _, d := range versions {
		if v, ok := strings.CutPrefix(d.Name, "GLIBC_"); ok && v[0] >= '0' && v[0] <= '9' && compareNumbers(v, h.GLIBC) > 0 {
			h.GLIBC = v
		}
	}
	return h
}

// libraryFolders are where the dynamic loader looks: ld.so.conf, then its own.
func libraryFolders() []string {
	dirs := []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64"}
	files, _ := filepath.Glob("/etc/ld.so.conf.d/*.conf") // the pattern is right
	for _, file := range append(files, "/etc/ld.so.conf") {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(b), "\n") {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
				dirs = append(dirs, line)
			}
		}
	}
	return dirs
}

// missing lists the libraries that neither the host has, nor the release brings, nor the native finds by itself. bundled are
// the names of those that the release brings.
func (h Host) missing(n Native, bundled map[string]bool) (list []string) {
	if h.Libraries == nil {
		return nil
	}
	for _, lib := range n.Needs {
		if _, ok := slices.BinarySearch(h.Libraries, lib); !ok && !bundled[lib] && !n.finds(lib) {
			list = append(list, lib)
		}
	}
	return list
}

// finds says whether a library is in one of the folders that a native looks in by itself. Those beside it are in the archive.
func (n Native) finds(lib string) bool {
	return slices.ContainsFunc(n.RunPath, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, lib))
		return filepath.IsAbs(dir) && err == nil
	})
}

// ownLoader is the loader of programs that do not run with the host's C library, as those of Nix; empty: the host's.
func ownLoader(natives []Native) string {
	for _, n := range natives {
		if dir := filepath.Dir(n.Loader); strings.HasPrefix(n.Path, "erts-") && n.Loader != "" && dir != "/lib" && dir != "/lib64" && dir != "/lib32" && dir != "/libx32" {
			return n.Loader
		}
	}
	return ""
}
