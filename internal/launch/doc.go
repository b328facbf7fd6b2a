// Package launch turns an instance's description into the exact command that starts it: path, arguments, environment
// and directory, without a shell string.
//
// The start contracts are DeployEx's:
//
//	elixir   current/bin/APP start        with RELEASE_NODE (RELEASE_COOKIE; RELEASE_DISTRIBUTION=name for long names)
//	erlang   current/bin/APP foreground   with RELX_REPLACE_OS_VARS=true RELEASE_NODE RELEASE_COOKIE RELEASE_SSL_OPTIONS
//	gleam    erl -pa …/*/ebin -eval APP@@main:run(APP) -noshell -sname NODE, with the erl of the system
//
// What distribution over TLS needs is handed over as ELIXIR_ERL_OPTIONS, RELEASE_SSL_OPTIONS, and as arguments.
//
// # Environment
//
// Of the daemon's own environment an allow-list is passed on: PATH HOME LANG LC_* TZ SHELL USER LOGNAME TERM TMPDIR
// ERL_EPMD_PORT ERL_EPMD_ADDRESS XDG_*; LANG is C.UTF-8 where nothing sets a locale. Then come the contract's
// variables, then those of the configuration, then the ports, and last RELEASE_NODE, BEAMKEEPER_INSTANCE, BEAMKEEPER_APP
// and BEAMKEEPER_NODE, which nothing overrides. No RELEASE_* of the daemon's and none of its secrets get through.
//
// # Where the cookie is seen
//
// We put it on no command line.
//
//   - elixir: RELEASE_COOKIE in the environment, readable by the instance's user and root. But the start script that mix
//     generates passes it on as -setcookie, so it is in the BEAM's arguments, which every user of the machine can read.
//   - erlang: RELEASE_COOKIE in the environment. The usual vm.args.src has -setcookie ${RELEASE_COOKIE}; relx writes it
//     into vm.args beside it, and erlexec puts it into the BEAM's arguments.
//   - gleam: a file of mode 0400 in the instance's private directory, nowhere else.
//
// Against other users of the machine: mount /proc with hidepid=2, or use distribution over TLS, which needs a
// certificate besides the cookie.
//
// For gleam the BEAM itself reads the file, as the .erlang.cookie of its home: it is started with HOME set to the private
// directory, and the first thing it evaluates sets HOME back to the real one, before any code of the application runs (seen
// on OTP 25, 27 and 29). Other ways were tried and are worse: -setcookie and ERL_FLAGS end in the arguments; with
// XDG_CONFIG_HOME a ~/.erlang.cookie wins; -nocookie with set_cookie in an -eval leaves the node open for a moment to
// whoever knows that atom.
package launch
