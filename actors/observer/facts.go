package observer

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// memory is what erlang:memory/0 tells, in bytes.
//
//	total      what the Go runtime has from the OS and has not given back, and the program itself
//	processes  goroutine stacks and the heap in use: Go does not tell actors' memory from other memory
//	system     the rest
//	code       the program
//	ets        the tables
type memory struct{ total, processes, used, system, code, ets int64 }

func (b *Observer) memory() memory {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(s)
	v := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	m := memory{processes: v(2) + v(3) + v(4), used: v(2) + v(4), code: programSize}
	m.ets = b.tables.total(b.opts.Tables)
	m.total = v(0) - v(1) + m.code + m.ets
	m.system = m.total - m.processes
	return m
}

func (m memory) terms() etf.List {
	return etf.List{
		pair("total", m.total), pair("processes", m.processes), pair("processes_used", m.used), pair("system", m.system),
		pair("atom", 0), pair("atom_used", 0), pair("binary", 0), pair("code", m.code), pair("ets", m.ets),
	}
}

// programSize is the size of the program's file.
var programSize = func() int64 {
	fi, err := os.Stat("/proc/self/exe")
	if err != nil {
		return 0
	}
	return fi.Size()
}()

// ioBytes is what the OS process has read and written, in all.
func ioBytes() (in, out int64) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64) // 0 if malformed
		switch key {
		case "rchar":
			in = n
		case "wchar":
			out = n
		}
	}
	return in, out
}

// cpuTime is the CPU time of the OS process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// schedulers is the number of threads that run Go code at one time.
func schedulers() int { return runtime.GOMAXPROCS(0) }

// schedulerTimes is statistics(scheduler_wall_time): the CPU time of the OS process spread evenly over the schedulers,
// since the Go runtime does not tell them apart.
func (b *Observer) schedulerTimes() etf.List {
	n := schedulers()
	total := time.Since(b.since)
	active := min(cpuTime()/time.Duration(n), total)
	times := etf.List{}
	for i := range n {
		times = append(times, etf.Tuple{i + 1, int64(active), int64(total)})
	}
	return times
}

// openFiles is the limit on open files, which bounds ports and sockets.
func openFiles() int64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1 << 16
	}
	return int64(min(l.Cur, 1<<27-1))
}

// allocators is system_info({allocator_sizes, _}): the Go runtime's areas, blocks being what is in use and carriers what is
// reserved for it. Observer divides by the carriers: there is always at least one.
func allocators() etf.List {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"}, {Name: "/memory/classes/metadata/mspan/free:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"}, {Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(s)
	v := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	out := etf.List{}
	for _, a := range []struct {
		name             etf.Atom
		blocks, carriers int64
	}{
		{"heap_alloc", v(0), v(0) + v(1) + v(2)},
		{"stack_alloc", v(3) + v(4), v(3) + v(4)},
		{"runtime_alloc", v(5) + v(7) + v(8), v(5) + v(6) + v(7) + v(8)},
	} {
		size := func(key etf.Atom, n int64) etf.Term { return etf.Tuple{key, n, n, n} }
		out = append(out, etf.Tuple{a.name, etf.List{etf.Tuple{etf.Atom("instance"), 0, etf.List{
			etf.Tuple{etf.Atom("mbcs"), etf.List{size("blocks_size", a.blocks), size("carriers_size", max(a.carriers, 1))}},
		}}}})
	}
	return out
}
