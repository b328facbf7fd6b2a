package applog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
)

// chunkSize is how much is read ahead at a time, of a few files; of many it is less, so that all together take no more than
// readAhead.
const (
	chunkSize    = 256 << 10
	leastChunk   = 2 * MaxLine
	readAhead    = 64 << 20
	chunksAtOnce = 4
)

// chunkOf is how much of each of n files is read ahead at a time.
func chunkOf(n int) int { return max(min(chunkSize, readAhead/chunksAtOnce/max(n, 1)), leastChunk) }

type readChunk struct {
	b   []byte
	pos int64
}

// readChunks gives whole lines between two places of a file's stream. The reading and unpacking goes on while give works.
// It returns errStopped when give does not want more, or ctx has ended.
func readChunks(ctx context.Context, path string, start, end int64, size int, give func(b []byte, pos int64) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks := make(chan readChunk, 2)
	free := make(chan []byte, chunksAtOnce)
	var failed error
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(chunks)
		r := &reader{path: path, pos: start}
		defer r.close()
		in := limited{r, end}
		var rest []byte
		skipping := false
		for {
			var buf []byte
			select {
			case buf = <-free:
				buf = buf[:0]
			default:
				buf = make([]byte, 0, size)
			}
			buf = append(buf, rest...)
			n, err := io.ReadFull(in, buf[len(buf):size])
			buf = buf[:len(buf)+n]
			ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
			if err != nil && !ended {
				failed = err
				return
			}
			pos := in.pos - int64(len(buf))
			if skipping {
				i := bytes.IndexByte(buf, '\n') + 1
				if skipping = i == 0; skipping {
					i = len(buf)
				}
				pos += int64(i)
				buf = buf[i:]
			}
			rest = rest[:0]
			if !ended {
				switch i := bytes.LastIndexByte(buf, '\n') + 1; {
				case i > 0:
					rest = append(rest, buf[i:]...)
					buf = buf[:i]
				case len(buf) == size: // a line that no memory is spent on
					skipping = true
				default:
					rest = append(rest, buf...)
					buf = buf[:0]
				}
			}
			if len(buf) > 0 {
				select {
				case chunks <- readChunk{buf, pos}:
				case <-ctx.Done():
					return
				}
			}
			if ended {
				return
			}
		}
	})
	for c := range chunks {
		if !give(c.b, c.pos) {
			return errStopped
		}
		select {
		case free <- c.b[:0:cap(c.b)]:
		default:
		}
	}
	wg.Wait()
	if failed == nil && ctx.Err() != nil {
		return errStopped // what comes after it must not be given: there would be a gap before it
	}
	return failed
}
