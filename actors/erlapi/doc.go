// Package erlapi is the API that the daemon offers to Erlang, Elixir and Gleam code over the distribution:
//
//	rpc:call('beamkeeper@host', beamkeeper, Function, Args)
//	gen_server:call({beamkeeper, 'beamkeeper@host'}, Request)
//
// A Request is the function's name, or a tuple of the name and the arguments. docs/erlang-api.md describes the
// functions; functions.go lists them.
//
// # Who may do what
//
// The caller is the node at the other end of the link, never what a message says of its sender. A node that is one of
// the running instances may act on its own app; other rights come from Config.Grants. Refusals are logged and answered
// with {error, denied}.
//
// # Terms
//
// Answers are made of maps with atom keys, binaries, integers, floats and lists. The atoms are the ones in this
// package's source and the JSON keys of package api: nothing that a caller, a release or a configuration names ever
// becomes an atom in the caller's node.
package erlapi
