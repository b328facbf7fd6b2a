// Package upgrade takes a running BEAM from one version of its release to another, keeping its processes and their
// state: OTP's release_handler, driven over the distribution from outside. It needs nothing in the application but
// SASL, and no Erlang on the host.
//
// A Job is one upgrade of one instance. Its steps, in order:
//
//	Prepare   files, relup, environment of the new version; nothing that runs has changed
//	Install   code and processes are the new version's; a crash of the BEAM still boots the old one
//	Lingering which processes a Commit would kill
//	Commit    the new version is what boots from now on
//	Revert    back to the old version, by the downgrade instructions; after Install and after Commit alike
//	Clean     the new version's files are gone again, after a Prepare that was not followed up or a Revert
//
// Look tells at any time where the instance is, by what release_handler knows and not by what was done last. Each step
// can be repeated: a daemon that was killed in one of them calls it again.
//
// What must live longer than a call lives on the node: a process registered as beamkeeper_upgrade that holds the
// environments of both versions and runs release_handler's calls, so that neither the loss of the link nor the end of the
// daemon stops an installation in its middle. It ends with Clean and with the BEAM.
//
// Spec: https://www.erlang.org/doc/apps/sasl/release_handler.html
package upgrade
