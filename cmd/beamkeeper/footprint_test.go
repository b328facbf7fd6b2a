package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// programKB is how much of a program's file is resident.
func programKB(t *testing.T) (kb int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			if _, err := fmt.Sscan(rest, &kb); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb
}

func TestUnmapProgram(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil || len(self) == 0 {
		t.Fatal(err)
	}
	before := programKB(t)
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	if after := programKB(t); after > before*4/5 {
		t.Errorf("%d kB of files resident, before %d", after, before)
	}
	if got := fmt.Sprintf("%v %T", []any{1, "a"}, t); got != "[1 a] *testing.T" {
		t.Error(got)
	}
}
