package etf

// Limits bound what a Decoder accepts. They are checked before anything is allocated for the part in question. The zero
// value of a field means its default, a negative value no limit.
//
// Besides these, no container is allocated whose elements could not fit into the bytes that are left, all open
// containers counted together: the memory for a term is at most some 40 times its bytes.
type Limits struct {
	MaxBytes        int // length of the input; default 256 MiB
	MaxDepth        int // nesting of tuples, lists, maps and funs; default 10000
	MaxDecompressed int // size that a COMPRESSED term may unpack to; default 64 MiB
}

// Defaults of Limits.
const (
	DefaultMaxBytes        = 256 << 20
	DefaultMaxDepth        = 10000
	DefaultMaxDecompressed = 64 << 20
)

const noLimit = int(^uint(0) >> 1)

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			*v = noLimit
		}
	}
	set(&l.MaxBytes, DefaultMaxBytes)
	set(&l.MaxDepth, DefaultMaxDepth)
	set(&l.MaxDecompressed, DefaultMaxDecompressed)
	return l
}
