package state

// Cause is whose fault a failure is, as far as that is known.
type Cause string

// CauseHost: the machine's. It is short of memory, room or descriptors, or has no EPMD, say. No version is to blame.
const CauseHost Cause = "host"
