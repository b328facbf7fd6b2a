// Package launch turns an instance's description into the exact command that starts it: path, arguments, environment
// and directory, without a shell string.
//
// The start contracts are DeployEx's:
//
//	elixir   current/bin/APP start        with RELEASE_NODE (RELEASE_COOKIE; RELEASE_DISTRIBUTION=name for long names)
//	erlang   current/bin/APP foreground   with RELX_REPLACE_OS_VARS=true RELEASE_NODE RELEASE_COOKIE RELEASE_SSL_OPTIONS
//	gleam    erl -pa …/ebin -eval APP@@main:run(APP) -noshell -sname NODE, the erl of the system
package launch
