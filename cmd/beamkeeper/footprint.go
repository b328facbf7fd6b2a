package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram takes the pages of the program itself out of the process's resident memory: most of them were needed only
// once, by the initialisation of libraries. The kernel keeps them in its cache, and those still in use come back at the
// next touch.
//
// Only what is mapped from the program's file, cannot be written and never was is taken (the dynamic linker writes to what
// it makes read-only then): nothing is in it that the file has not.
func unmapProgram() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps") // proc(5)
	if err != nil {
		return err
	}
	defer f.Close()
	var from, to uintptr // of the mapping that the lines are about, if it is one to look at
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if name, _, _ := strings.Cut(line, " "); !strings.HasSuffix(name, ":") {
			var perms string
			if _, err := fmt.Sscanf(line, "%x-%x %4s", &from, &to, &perms); err != nil || perms[1] != '-' || !strings.HasSuffix(line, " "+self) {
				to = 0
			}
			continue
		}
		kept, ok := strings.CutPrefix(line, "Anonymous:")
		if !ok || to == 0 || strings.TrimSpace(kept) != "0 kB" {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise %x-%x: %w", from, to, errno)
		}
	}
	return lines.Err()
}
