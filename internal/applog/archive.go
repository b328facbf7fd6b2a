package applog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// archive is one compressed piece of a log file's stream.
//
//	shop-abc123-stdout.log.20261120T181530Z.0000000020971520.gz
//
// The time is that of the rotation, in UTC; the number is the place in the stream of its first byte.
type archive struct {
	path string
	pos  int64
	at   time.Time
	size int64 // on the disk, where somebody asked
	temp bool  // being made: it counts once the file's head is behind its beginning
}

const (
	archiveEnd  = ".gz"
	archiveTemp = ".gz.new"
	archiveTime = "20060102T150405Z"
)

func archivePath(log string, at time.Time, pos int64) string {
	return fmt.Sprintf("%s.%s.%016d%s", log, at.UTC().Format(archiveTime), pos, archiveEnd)
}

// parseArchive reads the name of an archive, and whose it is.
func parseArchive(name string) (log string, a archive, ok bool) {
	rest, ok := strings.CutSuffix(name, archiveEnd)
	if !ok {
		if rest, a.temp = strings.CutSuffix(name, archiveTemp); !a.temp {
			return "", archive{}, false
		}
	}
	if len(rest) < 35 || rest[len(rest)-17] != '.' || rest[len(rest)-34] != '.' {
		return "", archive{}, false
	}
	var err1, err2 error
	a.pos, err1 = strconv.ParseInt(rest[len(rest)-16:], 10, 64)
	a.at, err2 = time.Parse(archiveTime, rest[len(rest)-33:len(rest)-17])
	return rest[:len(rest)-34], a, err1 == nil && err2 == nil && a.pos >= 0
}

// A folder that is read while an archive gets its name may show it under neither. What is missing is looked for again before
// it is taken for gone.
const (
	missingTries = 5
	missingWait  = 5 * time.Millisecond
)

// archivesOf lists the archives of a log file, the oldest first.
func archivesOf(path string) ([]archive, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	var list []archive
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base+".") {
			continue
		}
		log, a, ok := parseArchive(e.Name())
		if !ok || log != base {
			continue
		}
		a.path = filepath.Join(filepath.Dir(path), e.Name())
		list = append(list, a)
	}
	sortArchives(list)
	return list, nil
}

func sortArchives(list []archive) {
	slices.SortFunc(list, func(a, b archive) int {
		switch {
		case a.pos < b.pos:
			return -1
		case a.pos > b.pos:
			return 1
		}
		return strings.Compare(a.path, b.path)
	})
}

// end is the place in the stream behind the archive's last byte. Its file says how much it holds.
//
// Spec: RFC 1952, ISIZE
func (a archive) end() (int64, error) {
	f, err := os.Open(a.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var b [4]byte
	if st.Size() < 18 {
		return 0, fmt.Errorf("applog: %s: %w", a.path, io.ErrUnexpectedEOF)
	}
	if _, err := f.ReadAt(b[:], st.Size()-4); err != nil {
		return 0, err
	}
	return a.pos + int64(binary.LittleEndian.Uint32(b[:])), nil
}

// settle corrects the head of a file that somebody has emptied or replaced since its last rotation: what is in it now goes on
// where the archives end.
func settle(h head, list []archive) head {
	if h != (head{}) {
		return h
	}
	for _, a := range slices.Backward(list) {
		if a.temp {
			continue
		}
		if end, err := a.end(); err == nil {
			return head{pos: end}
		}
	}
	return h
}
