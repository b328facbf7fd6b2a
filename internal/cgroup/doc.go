// Package cgroup reads, makes and limits control groups, version 2.
//
// A group is given by its folder below the place where the hierarchy is mounted. On a host that mixes versions
// (/sys/fs/cgroup/unified), groups have no controllers, hence no limits; Limits.Missing tells.
//
// Spec: https://docs.kernel.org/admin-guide/cgroup-v2.html
package cgroup
