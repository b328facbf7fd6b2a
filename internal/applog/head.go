package applog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// head ties a log file to the stream of everything that was ever written to it. A rotation writes it as the first line of
// the file that it removes lines from, so that it changes in one step with the bytes it is about: no file beside the
// log has to agree with it.
//
// A file without such a line begins with the stream: the zero head.
type head struct {
	pos int64 // place in the stream of the first byte that counts; what is before it is in the archives
	at  int64 // where in the file that byte is
}

const (
	headText = "--- beamkeeper: older lines are in the .gz files beside this one (to %016x, from byte %016x on) ---"
	headLen  = int64(len(headText)) + 2*(16-5) + 1 // of the text with its numbers, and a newline
)

var headStart = []byte(headText[:bytes.IndexByte([]byte(headText), '%')])

// line is the head as a line of n bytes, at least headLen, filled up with spaces.
func (h head) line(n int64) []byte {
	b := fmt.Appendf(make([]byte, 0, n), headText, h.pos, h.at)
	for int64(len(b)) < n-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

// readHead reads the head of an open log file.
func readHead(f io.ReaderAt) (head, error) {
	var b [headLen]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return head{}, err
	}
	return parseHead(b[:n]), nil
}

func parseHead(b []byte) (h head) {
	rest, ok := bytes.CutPrefix(b, headStart)
	if !ok || int64(len(b)) < headLen {
		return head{}
	}
	pos, err1 := strconv.ParseInt(string(rest[:16]), 16, 64)
	at, err2 := strconv.ParseInt(string(rest[16+len(", from byte "):][:16]), 16, 64)
	if err1 != nil || err2 != nil || pos < 0 || at < headLen {
		return head{} // what an application wrote
	}
	return head{pos: pos, at: at}
}
