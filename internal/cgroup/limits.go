package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Limits are what the processes of a group may use together. 0: no limit.
type Limits struct {
	MemoryMax  uint64 // bytes; above it the kernel kills
	MemoryHigh uint64 // bytes; above it the kernel slows down and reclaims
	CPUQuota   int    // percent of one core
	TasksMax   uint64 // processes and threads
}

const cpuPeriod = 100_000 // µs, the kernel's default

// setting is one limit as the kernel takes it.
type setting struct {
	controller, file, value string
	asked                   bool
}

func (l Limits) settings() []setting {
	number := func(n uint64) string {
		if n == 0 {
			return "max"
		}
		return strconv.FormatUint(n, 10)
	}
	cpu := "max"
	if l.CPUQuota > 0 {
		cpu = strconv.Itoa(l.CPUQuota * cpuPeriod / 100)
	}
	return []setting{
		{"memory", "memory.max", number(l.MemoryMax), l.MemoryMax > 0},
		{"memory", "memory.high", number(l.MemoryHigh), l.MemoryHigh > 0},
		{"cpu", "cpu.max", cpu + " " + strconv.Itoa(cpuPeriod), l.CPUQuota > 0},
		{"pids", "pids.max", number(l.TasksMax), l.TasksMax > 0},
	}
}

// Controllers lists the controllers that the limits need.
func (l Limits) Controllers() []string {
	var list []string
	for _, s := range l.settings() {
		if s.asked && !slices.Contains(list, s.controller) {
			list = append(list, s.controller)
		}
	}
	return list
}

// Missing lists the controllers that the limits need and the group in dir does not have: those limits have no effect.
func (l Limits) Missing(dir string) []string {
	var list []string
	for _, s := range l.settings() {
		if _, err := os.Stat(filepath.Join(dir, s.file)); s.asked && err != nil && !slices.Contains(list, s.controller) {
			list = append(list, s.controller)
		}
	}
	return list
}

// Set gives the group in dir these limits. Those whose controller is missing are left out; Missing tells.
func (l Limits) Set(dir string) error {
	var errs []error
	for _, s := range l.settings() {
		file, err := os.OpenFile(filepath.Join(dir, s.file), os.O_WRONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = file.WriteString(s.value)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cgroup: set %s to %s: %w", s.file, s.value, err))
		}
	}
	return errors.Join(errs...)
}
