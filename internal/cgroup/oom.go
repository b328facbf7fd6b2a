package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// OOMWatch counts the processes that the kernel has killed in groups for want of memory. A group is removed as soon as its
// last process has ended, and its counter with it; so the counters are read when the kernel says that they have changed.
type OOMWatch struct {
	watcher *fsnotify.Watcher
	done    chan struct{}

	mu    sync.Mutex
	kills map[string]int // by the folder of the group
}

// NewOOMWatch begins to watch. Close ends it.
func NewOOMWatch() (*OOMWatch, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	o := &OOMWatch{watcher: w, done: make(chan struct{}), kills: make(map[string]int)}
	go func() {
		defer close(o.done)
		o.run()
	}()
	return o, nil
}

func (o *OOMWatch) run() {
	for {
		select {
		case e, ok := <-o.watcher.Events:
			if !ok {
				return
			}
			if e.Has(fsnotify.Write) {
				o.read(filepath.Dir(e.Name))
			}
		case _, ok := <-o.watcher.Errors: // what was missed is read by Kills, if the group is still there
			if !ok {
				return
			}
		}
	}
}

// Add watches the group in dir, from 0. A group without memory controller is not watched.
func (o *OOMWatch) Add(dir string) {
	file := filepath.Join(dir, "memory.events")
	o.mu.Lock()
	_, known := o.kills[dir]
	if !known {
		o.kills[dir] = 0
	}
	o.mu.Unlock()
	if !known && o.watcher.Add(file) == nil {
		o.read(dir) // what came before
	}
}

// Kills is how many processes of the group in dir have been killed.
func (o *OOMWatch) Kills(dir string) int {
	o.read(dir)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kills[dir]
}

// Remove forgets a group.
func (o *OOMWatch) Remove(dir string) {
	_ = o.watcher.Remove(filepath.Join(dir, "memory.events")) // a removed file is not watched any more
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.kills, dir)
}

func (o *OOMWatch) read(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "memory.events"))
	if err != nil {
		return
	}
	n := oomKills(string(b))
	o.mu.Lock()
	defer o.mu.Unlock()
	if old, ok := o.kills[dir]; ok && n > old {
		o.kills[dir] = n
	}
}

// oomKills reads memory.events: lines of a name and a number.
func oomKills(events string) int {
	for line := range strings.Lines(events) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value)) // the kernel writes a number
			return n
		}
	}
	return 0
}

// Close ends the watch.
func (o *OOMWatch) Close() error {
	err := o.watcher.Close()
	<-o.done
	return err
}
