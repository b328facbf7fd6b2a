// Command guest is what the tests run in a virtual machine. It is started under three names:
//
//	/init          PID 1 of the initial file system: loads the modules, mounts the disks, becomes systemd
//	guest serve    runs what the host asks for over a virtio port, one JSON object a line each way
//	guest eat N    takes N MiB of memory, 1 MiB at a time, says "full", and waits
//	guest set T    sets the clock to T (seconds since 1970)
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		if os.Getpid() == 1 {
			_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
		}
		os.Exit(1)
	}
}

func run() error {
	if os.Getpid() == 1 {
		return becomeSystemd()
	}
	switch arg(1) {
	case "serve":
		return serve("/dev/vport0p1")
	case "eat":
		return eat()
	case "set":
		seconds, err := strconv.ParseInt(arg(2), 10, 64)
		if err != nil {
			return err
		}
		return unix.ClockSettime(unix.CLOCK_REALTIME, &unix.Timespec{Sec: seconds})
	}
	return fmt.Errorf("unknown command %q", arg(1))
}

func arg(n int) string {
	if n < len(os.Args) {
		return os.Args[n]
	}
	return ""
}

// eat takes memory and keeps it.
func eat() error {
	mib, err := strconv.Atoi(arg(2))
	if err != nil {
		return err
	}
	kept := make([][]byte, 0, mib)
	for range mib {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	fmt.Println("full")
	time.Sleep(time.Hour)
	_ = kept
	return nil
}
