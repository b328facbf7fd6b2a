package node

import (
	"fmt"
	"strings"
)

// Flags are the capabilities that the two sides of a handshake tell each other.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#distribution-flags, and erts/emulator/beam/dist.h
// where it differs (mandatory 25 digest).
type Flags uint64

// The distribution flags of OTP 29 and earlier. docs/protocol.md says for each what this node does with it.
const (
	FlagPublished         Flags = 1 << 0  // DFLAG_PUBLISHED: not hidden
	FlagAtomCache         Flags = 1 << 1  // DFLAG_ATOM_CACHE: obsolete
	FlagExtendedRefs      Flags = 1 << 2  // DFLAG_EXTENDED_REFERENCES
	FlagDistMonitor       Flags = 1 << 3  // DFLAG_DIST_MONITOR
	FlagFunTags           Flags = 1 << 4  // DFLAG_FUN_TAGS
	FlagDistMonitorName   Flags = 1 << 5  // DFLAG_DIST_MONITOR_NAME
	FlagHiddenAtomCache   Flags = 1 << 6  // DFLAG_HIDDEN_ATOM_CACHE: obsolete
	FlagNewFunTags        Flags = 1 << 7  // DFLAG_NEW_FUN_TAGS
	FlagExtendedPidsPorts Flags = 1 << 8  // DFLAG_EXTENDED_PIDS_PORTS
	FlagExportPtrTag      Flags = 1 << 9  // DFLAG_EXPORT_PTR_TAG
	FlagBitBinaries       Flags = 1 << 10 // DFLAG_BIT_BINARIES
	FlagNewFloats         Flags = 1 << 11 // DFLAG_NEW_FLOATS
	FlagUnicodeIO         Flags = 1 << 12 // DFLAG_UNICODE_IO
	FlagDistHdrAtomCache  Flags = 1 << 13 // DFLAG_DIST_HDR_ATOM_CACHE
	FlagSmallAtomTags     Flags = 1 << 14 // DFLAG_SMALL_ATOM_TAGS
	FlagUTF8Atoms         Flags = 1 << 16 // DFLAG_UTF8_ATOMS
	FlagMapTag            Flags = 1 << 17 // DFLAG_MAP_TAG
	FlagBigCreation       Flags = 1 << 18 // DFLAG_BIG_CREATION
	FlagSendSender        Flags = 1 << 19 // DFLAG_SEND_SENDER
	FlagBigSeqTraceLabels Flags = 1 << 20 // DFLAG_BIG_SEQTRACE_LABELS
	FlagExitPayload       Flags = 1 << 22 // DFLAG_EXIT_PAYLOAD
	FlagFragments         Flags = 1 << 23 // DFLAG_FRAGMENTS
	FlagHandshake23       Flags = 1 << 24 // DFLAG_HANDSHAKE_23
	FlagUnlinkID          Flags = 1 << 25 // DFLAG_UNLINK_ID
	FlagMandatory25       Flags = 1 << 26 // DFLAG_MANDATORY_25_DIGEST: stands for the set of OTP 25
	FlagSpawn             Flags = 1 << 32 // DFLAG_SPAWN
	FlagNameMe            Flags = 1 << 33 // DFLAG_NAME_ME: the initiator asks for a name
	FlagV4NC              Flags = 1 << 34 // DFLAG_V4_NC
	FlagAlias             Flags = 1 << 35 // DFLAG_ALIAS
	FlagLocalExt          Flags = 1 << 36 // DFLAG_LOCAL_EXT: internal to the emulator
	FlagAltactSig         Flags = 1 << 37 // DFLAG_ALTACT_SIG: OTP 28
	FlagNativeRecords     Flags = 1 << 38 // DFLAG_NATIVE_RECORDS: OTP 29
)

const (
	// flagsMandatory is what every peer must have: the set that OTP 25 demands.
	flagsMandatory = FlagExtendedRefs | FlagFunTags | FlagNewFunTags | FlagExtendedPidsPorts | FlagExportPtrTag |
		FlagBitBinaries | FlagNewFloats | FlagUTF8Atoms | FlagMapTag | FlagBigCreation | FlagHandshake23

	// flagsDigest25 is what a peer means that sets FlagMandatory25.
	flagsDigest25 = flagsMandatory

	// flagsOurs is what this node can do. Not in it: NATIVE_RECORDS (refused), NAME_ME (a request), PUBLISHED (the node is
	// hidden, for it does not speak global).
	flagsOurs = flagsMandatory | FlagMandatory25 | FlagDistMonitor | FlagDistMonitorName | FlagUnicodeIO |
		FlagDistHdrAtomCache | FlagSmallAtomTags | FlagSendSender | FlagBigSeqTraceLabels | FlagExitPayload |
		FlagFragments | FlagUnlinkID | FlagSpawn | FlagV4NC | FlagAlias | FlagAltactSig
)

// Has tells whether all of the flags x are set.
func (f Flags) Has(x Flags) bool { return f&x == x }

// checkPeerFlags expands what the peer sent and checks that nothing mandatory is missing.
func checkPeerFlags(f Flags) (Flags, error) {
	if f.Has(FlagMandatory25) {
		f |= flagsDigest25
	}
	if missing := flagsMandatory &^ f; missing != 0 {
		return f, fmt.Errorf("%w: %s", ErrFlags, missing)
	}
	return f, nil
}

var flagNames = [64]string{
	0: "PUBLISHED", 1: "ATOM_CACHE", 2: "EXTENDED_REFERENCES", 3: "DIST_MONITOR", 4: "FUN_TAGS", 5: "DIST_MONITOR_NAME",
	6: "HIDDEN_ATOM_CACHE", 7: "NEW_FUN_TAGS", 8: "EXTENDED_PIDS_PORTS", 9: "EXPORT_PTR_TAG", 10: "BIT_BINARIES",
	11: "NEW_FLOATS", 12: "UNICODE_IO", 13: "DIST_HDR_ATOM_CACHE", 14: "SMALL_ATOM_TAGS", 16: "UTF8_ATOMS", 17: "MAP_TAG",
	18: "BIG_CREATION", 19: "SEND_SENDER", 20: "BIG_SEQTRACE_LABELS", 22: "EXIT_PAYLOAD", 23: "FRAGMENTS", 24: "HANDSHAKE_23",
	25: "UNLINK_ID", 26: "MANDATORY_25_DIGEST", 32: "SPAWN", 33: "NAME_ME", 34: "V4_NC", 35: "ALIAS", 36: "LOCAL_EXT",
	37: "ALTACT_SIG", 38: "NATIVE_RECORDS",
}

// String lists the names of the flags set.
func (f Flags) String() string {
	var names []string
	for i := range 64 {
		if f&(1<<i) == 0 {
			continue
		}
		name := flagNames[i]
		if name == "" {
			name = fmt.Sprintf("bit %d", i)
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}
