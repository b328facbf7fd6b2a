// Package vmtest boots a virtual machine for tests: a kernel of its own, with all controllers of cgroup v2, a clock and disks
// that may be broken, and systemd as PID 1.
//
// QEMU computes it in software (no KVM needed, some ten times slower than the host). The kernel is that of
// testdata/testbed/kernel.sh, the root file system that of systemd-root.sh, testdata/testbed/guest runs inside.
package vmtest
