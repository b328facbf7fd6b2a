// Package etf reads and writes the External Term Format of Erlang/OTP 23 to 29, and Erlang terms as text. It needs
// nothing but the standard library.
//
// Four ways to read bytes:
//
//   - Decode builds a Term without loss: improper lists, bitstrings, funs, native records (OTP 29) and maps with any key
//     survive a round trip, and what term_to_binary of OTP 26 and later wrote is written back byte for byte (older
//     ones: Encoder.LegacyAtoms and LegacyPorts).
//   - A Decoder does the same for a link: its own Limits, a table of atoms, the references of an atom cache.
//   - A Cursor walks over terms without building them.
//   - Unmarshal fills Go structs, maps and slices, with errors that name the path.
//
// AppendTerm and Append write without allocating, AppendCompressed packs. AtomCacheIn and AtomCacheOut are the two halves of a link's atom
// cache with its distribution headers. Format prints as ~tp does; Consult, ParseTerm and ParseCall read text.
//
// Bytes from outside never make the package panic, recurse without bound, or allocate more than in proportion to their
// number; see Limits. Tags that OTP 23 no longer accepts (FUN_EXT) are refused.
//
// Type Term lists the Go type of each Erlang type. Spec: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
package etf
