// Package systemd is the daemon's side of the service manager: it tells how the daemon is, keeps its listeners while it is
// restarted, makes scopes for instances, and writes to the journal.
//
// Everything here does nothing, without an error, where the process was not started by systemd; only Connect says so.
//
// Sources: sd_notify(3), sd_listen_fds(3), systemd.service(5), systemd.scope(5), org.freedesktop.systemd1(5),
// systemd.journal-fields(7). Seen with 252 and 257.
package systemd

import "os"

// Running says whether systemd is the system's service manager, as sd_booted(3) does.
func Running() bool {
	fi, err := os.Lstat("/run/systemd/system")
	return err == nil && fi.IsDir()
}
