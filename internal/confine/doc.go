// Package confine gives the processes of each instance a place of their own, where its limits hold and by which they are
// known: a scope of systemd, or, without systemd, a control group where the daemon may make some. Where neither can be had
// the instance stays in the daemon's group; limits have no effect then, and Problems says so.
//
// A port mapper that an instance's BEAM has started serves all nodes of the host. It is moved to a place of its own, so
// that it does not end with the instance.
package confine
