package applog

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// block is how much of a file is read at a time.
const block = 64 << 10

// Tail returns the last n lines of a file, the oldest first. A missing file has none.
func Tail(path string, n int) ([]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) || n <= 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	from, err := lastLines(f, size, n)
	if err != nil {
		return nil, err
	}
	var lines []string
	err = forward(f, from, size, func(text string) bool {
		lines = append(lines, text)
		return true
	})
	return lines, err
}

// lastLines returns where the last n lines before size begin. It reads from the end, one block at a time.
func lastLines(f io.ReaderAt, size int64, n int) (int64, error) {
	buf := make([]byte, block)
	end := size
	if end > 0 { // the newline of the last line begins no further one
		if _, err := f.ReadAt(buf[:1], end-1); err != nil {
			return 0, truncated(err)
		}
		if buf[0] == '\n' {
			end--
		}
	}
	for end > 0 {
		b := buf[:min(end, block)]
		start := end - int64(len(b))
		if _, err := f.ReadAt(b, start); err != nil {
			return 0, truncated(err)
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
	return 0, nil
}

// truncated takes the end of file, met where there was more a moment ago, for a file that was emptied meanwhile.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// forward calls yield for each line between two offsets, with an unfinished last one.
func forward(f io.ReaderAt, from, to int64, yield func(string) bool) error {
	var s splitter
	r := io.NewSectionReader(f, from, max(to-from, 0))
	buf := make([]byte, block)
	for {
		n, err := r.Read(buf)
		if !s.write(buf[:n], yield) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			s.flush(yield)
			return nil
		}
		if err != nil {
			return err
		}
	}
}
