package tlsdist_test

import (
	"os"
	"syscall"
	"testing"
)

func owner(t *testing.T, file string) (uid, gid uint32) {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	s := st.Sys().(*syscall.Stat_t)
	return s.Uid, s.Gid
}
