package applog

import (
	"bytes"
	"errors"
	"io"
)

// MaxLine is the length in bytes at which a line is cut.
const MaxLine = 16 << 10

// block is how much of a file is read at a time when its end is looked for.
const block = 64 << 10

// lastLines returns where the last n lines between from and size begin. It reads from the end, one block at a time.
func lastLines(f io.ReaderAt, from, size int64, n int) (int64, error) {
	buf := make([]byte, block)
	end := size
	if end > from { // the newline of the last line begins no further one
		if _, err := f.ReadAt(buf[:1], end-1); err != nil {
			return from, truncated(err)
		}
		if buf[0] == '\n' {
			end--
		}
	}
	for end > from {
		b := buf[:min(end-from, block)]
		start := end - int64(len(b))
		if _, err := f.ReadAt(b, start); err != nil {
			return from, truncated(err)
		}
		for {
			i := bytes.LastIndexByte(b, '\n')
			if i < 0 {
				break
			}
			if n--; n == 0 {
				return start + int64(i) + 1, nil
			}
			b = b[:i]
		}
		end = start
	}
	return from, nil
}

// lineStart returns where the last, unfinished line between from and end begins: end itself if there is none.
func lineStart(f io.ReaderAt, from, end int64) (int64, error) {
	buf := make([]byte, block)
	for at := end; at > from; {
		b := buf[:min(at-from, block)]
		at -= int64(len(b))
		if _, err := f.ReadAt(b, at); err != nil {
			return from, truncated(err)
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
	}
	return from, nil
}

// truncated takes the end of file, met where there was more a moment ago, for a file that was emptied meanwhile.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
