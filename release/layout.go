package release

import (
	"io/fs"
	"path"
	"strings"
)

// sharedFile says whether a file of a release may be one file for all instances, because no BEAM writes it in place.
//
// Code and runtime are shared: lib/*, erts-* and a shipment's packages, and beam files wherever they are. What is not:
// bin and releases (relx writes vm.args and sys.config there when it replaces variables; release_handler writes
// RELEASES, start_erl.data and whole releases; upgrades write over the scripts of bin), log, tmp, and the priv folders
// of applications, where some keep their data. Programs and libraries in priv are shared all the same: the kernel
// refuses to write to a running one, so nobody does.
func sharedFile(name string, mode fs.FileMode) bool {
	if strings.HasSuffix(name, ".beam") {
		return true
	}
	parts := strings.Split(name, "/")
	switch {
	case len(parts) > 2 && strings.HasPrefix(parts[0], "erts-"):
		return true
	case len(parts) > 3 && (parts[0] == "lib" || parts[0] == shipmentDir):
		if parts[2] != "priv" {
			return true
		}
		base := path.Base(name)
		return mode&0o111 != 0 || strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.")
	}
	return false
}

// treeMode is the mode that a file has in the tree.
//
// Shared files lose their write permission, so that even their owner cannot write into all instances at once by
// mistake, and can be read by all, since they keep the daemon's user when an instance has its own; the folders above
// keep strangers out.
func treeMode(name string, mode fs.FileMode) fs.FileMode {
	mode &= 0o755
	if !sharedFile(name, mode) {
		return mode | 0o600
	}
	if mode&0o111 != 0 {
		return 0o555
	}
	return 0o444
}
