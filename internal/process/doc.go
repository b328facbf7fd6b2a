// Package process starts, watches, adopts and ends the OS processes of instances on Linux (5.4 or later).
//
// An instance is started in its own session with files as its standard output and error, so that it lives on when
// the daemon ends (no pipe, no parent-death signal, nothing shared that a service manager would sweep). Its end is
// learned from a pidfd, whether it is our child or was adopted after a restart of the daemon.
//
// Who is who: an instance's process carries BEAMKEEPER_INSTANCE (and BEAMKEEPER_NODE, the daemon it belongs to) in
// its environment, and together with OS pid, start time and boot id that makes an Identity which no reused pid can
// satisfy. The processes that a BEAM starts (erl_child_setup, port programs) live in sessions of their own but
// inherit the environment, and are found by it: see Members.
package process
