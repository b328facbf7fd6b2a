// Package state keeps what must outlive the daemon in one bbolt file: the operator's wishes for each app, instances,
// deployments, versions history, events and counters.
//
// One daemon at a time holds a state folder. Every write is committed, with the file synced, when the method returns.
package state
