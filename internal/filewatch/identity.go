package filewatch

import (
	"io/fs"
	"syscall"
)

// identity tells a file from one that replaced it. The time of the last change of its inode is in it: a program that sets
// the time of modification back changes that.
func identity(info fs.FileInfo) [4]int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return [4]int64{}
	}
	return [4]int64{int64(st.Dev), int64(st.Ino), int64(st.Ctim.Sec), int64(st.Ctim.Nsec)} //nolint:unconvert // other sizes elsewhere
}
