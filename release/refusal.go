package release

import "errors"

// unusable are errors of archives that stay as they are until the archive is another.
var unusable = []error{ErrTruncated, ErrBadArchive, ErrUnsafePath, ErrLimit, ErrChecksum, ErrBadRel, ErrSignature, ErrBadVersion}

// Unusable says whether an error of Fetch, Inspect or ReadContents is the archive's fault, and not that of the way to it or
// of this host.
func Unusable(err error) bool {
	if errors.Is(err, ErrChanging) {
		return false
	}
	for _, e := range unusable {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
