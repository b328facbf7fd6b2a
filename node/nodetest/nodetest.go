// Package nodetest starts real EPMDs and real BEAMs for the tests of any package.
//
// Everything it starts belongs to the test: it ends, and is waited for, in t.Cleanup.
package nodetest

import "testing"

// OTP is an installed Erlang/OTP.
type OTP struct {
	Release string // "25"
	Bin     string // folder with erl, erlc, escript, and where there is Elixir, elixir and mix
}

// OTPs finds the installed ones, in order of release: $BEAMKEEPER_OTPS (folders with bin/erl, separated by ':') or, without that
// variable, the system's erl and the prefixes otp-* in the cache folder.
func OTPs(t testing.TB) []OTP { panic("todo") }

// Want gives the named releases. When one is missing the test is skipped, or fails under REQUIRE_OTP=1.
func Want(t testing.TB, releases ...string) []OTP { panic("todo") }

// StartEPMD starts an EPMD on a port of its own on 127.0.0.1 and returns the port.
func StartEPMD(t testing.TB) (port int) { panic("todo") }

// Erl is a running BEAM.
type Erl struct {
	Name string // alive@host
}

// StartErl starts a BEAM node and waits until it runs. name has no host: the node is name@localhost, or pass the whole
// alive@host. A host with a dot means -name. args are added to the command line.
func StartErl(t testing.TB, otp OTP, name, cookie string, epmdPort int, args ...string) *Erl {
	panic("todo")
}

// Eval evaluates Erlang expressions ("X = 1, X + 1.") in the node and returns the value printed by ~0tp. An exception fails the test.
func (e *Erl) Eval(expr string) string { panic("todo") }
