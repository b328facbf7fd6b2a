package bridge

import (
	"reflect"
	"sync"
	"time"
	"unsafe"

	"ergo.services/ergo/gen"
)

// waiting tells how many messages are in the main queue of an actor's mailbox; 0 when it has ended.
//
// Ergo's ProcessInfo tells it, too, but reads the running time of the process, which the process itself writes without
// the same care; and it takes much longer. So the queue is looked up where Ergo keeps it: its length may be read at any
// time. Where a later Ergo keeps it elsewhere, ProcessInfo is asked after all.
func waiting(n gen.Node, pid gen.PID) int {
	if processes := processTable(n); processes != nil {
		p, ok := processes.Load(pid)
		if !ok {
			return 0
		}
		if m := mailbox(p); m != nil && m.Main != nil {
			return int(m.Main.Len())
		}
	}
	info, err := n.ProcessInfo(pid)
	if err != nil {
		return 0 // it has ended
	}
	return int(info.MailboxQueues.Main)
}

// PIDOf finds the actor with a name.
//
// Ergo enters the name of a process before the process has its pid, and reads the pid without waiting for it: for a
// moment ProcessPID gives a pid that is none. A process is in the table of processes only once it is whole, so the pid is
// taken from there.
func (s *System) PIDOf(name gen.Atom) (gen.PID, bool) {
	names, processes := table(s.ergo, "names"), processTable(s.ergo)
	if names == nil || processes == nil {
		pid, err := s.ergo.ProcessPID(name)
		return pid, err == nil
	}
	p, ok := names.Load(name)
	if !ok {
		s.named.Delete(name)
		return gen.PID{}, false
	}
	if known, ok := s.named.Load(name); ok && known.(namedProcess).process == p {
		return known.(namedProcess).pid, true
	}
	var pid gen.PID
	processes.Range(func(key, value any) bool {
		if value == p {
			pid = key.(gen.PID)
		}
		return value != p
	})
	if pid.ID == 0 {
		return pid, false // not whole yet, or it has just ended
	}
	s.named.Store(name, namedProcess{p, pid})
	return pid, true
}

// namedProcess is the process, as Ergo keeps it, that has a name, and its pid.
type namedProcess struct {
	process any
	pid     gen.PID
}

// processTable is Ergo's table of processes by pid; nil when this Ergo has none of that kind.
func processTable(n gen.Node) *sync.Map { return table(n, "processes") }

func table(n gen.Node, name string) *sync.Map {
	f := hiddenField(n, name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[sync.Map]() {
		return nil
	}
	return (*sync.Map)(unsafe.Pointer(f.UnsafeAddr()))
}

// mailbox is the mailbox of a process of Ergo's, which is set before the process is in the table and stays.
func mailbox(p any) *gen.ProcessMailbox {
	f := hiddenField(p, "mailbox")
	if !f.IsValid() || f.Type() != reflect.TypeFor[gen.ProcessMailbox]() {
		return nil
	}
	return (*gen.ProcessMailbox)(unsafe.Pointer(f.UnsafeAddr()))
}

// hiddenField is a field of the struct that v points to.
func hiddenField(v any, name string) reflect.Value {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return p.Elem().FieldByName(name)
}

// stopCron stops Ergo's cron, which nobody here uses: its clock writes, at the beginning of each minute, what its clock of
// the minute before wrote, without keeping the two apart. Jobs that are added do not run.
func stopCron(n gen.Node) {
	t := cronTimer(n)
	for range 100 { // it starts its timer again itself when it is at work just now
		if t == nil || t.Stop() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// cronTimer is the clock of Ergo's cron; nil when this Ergo has none of that kind.
func cronTimer(n gen.Node) *time.Timer {
	cron := hiddenField(n, "cron")
	if !cron.IsValid() || cron.Kind() != reflect.Pointer || cron.IsNil() || cron.Elem().Kind() != reflect.Struct {
		return nil
	}
	f := cron.Elem().FieldByName("timer")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*time.Timer]() {
		return nil
	}
	return *(**time.Timer)(unsafe.Pointer(f.UnsafeAddr()))
}
