// Package observer answers what OTP's tools ask of a node: observer, etop, erl_call, erl -remsh, and module sys towards actors.
//
// The daemon is no BEAM, but tools see one: Ergo actors and processes of package node are its processes, distribution links
// and listening sockets its ports, the supervision tree its application, and the tables it is given its ETS tables. All
// figures are real, those of the Go runtime and the OS process; docs/observer.md says what each one means. What cannot be
// answered truly is left undef, as a BEAM without the module would.
//
// Nothing here changes anything: init:stop, exit signals and trace requests are refused unless Options says otherwise.
package observer
