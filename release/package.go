package release

import "context"

// Languages of a package, as the configuration calls them.
const (
	Elixir = "elixir" // mix release
	Erlang = "erlang" // relx, rebar3 release
	Gleam  = "gleam"  // gleam export erlang-shipment
)

// Package is what an archive says of itself.
type Package struct {
	Language     string        `json:"language"`
	Name         string        `json:"name"`
	Version      string        `json:"version"`
	ERTS         string        `json:"erts,omitempty"`         // version; empty when the archive brings no ERTS
	Applications []Application `json:"applications,omitempty"` // of the .rel file, in its order; of a shipment, by name
	Files        int           `json:"files"`
	Bytes        int64         `json:"bytes"` // unpacked
}

// Application is an OTP application of a release.
type Application struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Limits bound what an archive may hold. A zero field means its default.
type Limits struct {
	Entries int   // default 200,000
	Bytes   int64 // unpacked, default 4 GiB
	Ratio   int64 // unpacked bytes per byte of archive once over 16 MiB, default 200
	Name    int   // bytes of an entry's path, default 1024; a component may have 255
	Depth   int   // components of an entry's path, default 48
	Links   int   // hard and symbolic links, default 10,000
}

// Inspect reads an archive whole, checks it as unpacking would, and says what it is.
//
// Errors: those of unpacking, and ErrBadRel for an archive that holds no release that can be started.
func Inspect(ctx context.Context, file string, limits Limits) (Package, error) { return Package{}, nil }
