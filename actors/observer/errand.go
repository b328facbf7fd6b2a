package observer

// maxErrands is how many goroutines answer peers besides the calls that package node counts: tables on their way,
// application trees, and requests to actors. A peer that does not read its answers holds them up.
const maxErrands = 128

// errand runs f in a goroutine, unless there are too many.
func (b *Observer) errand(f func()) bool {
	select {
	case b.errands <- struct{}{}:
	default:
		return false
	}
	go func() {
		defer func() { <-b.errands }()
		f()
	}()
	return true
}
