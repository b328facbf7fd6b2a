package bridge

import (
	"reflect"
	"sync"
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

// processTable is Ergo's table of processes by pid; nil when this Ergo has none of that kind.
func processTable(n gen.Node) *sync.Map {
	f := hiddenField(n, "processes")
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
