//go:build race

package main

// The built binary of the end-to-end tests has the race detector when the tests have it.
func init() { buildFlags = append(buildFlags, "-race") }
