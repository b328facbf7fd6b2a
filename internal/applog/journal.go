package applog

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// JournalDir is where systemd's journal has its sockets.
const JournalDir = "/run/systemd/journal"

// Journal writes lines to systemd's journal, with fields. Its methods may be called from one goroutine at a time.
//
// Spec: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
type Journal struct {
	conn *net.UnixConn
	to   *net.UnixAddr
}

// OpenJournal finds the journal whose sockets are in dir. The error is os.ErrNotExist where there is none.
func OpenJournal(dir string) (*Journal, error) {
	path := filepath.Join(dir, "socket")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("applog: journal: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"}) // of no name
	if err != nil {
		return nil, fmt.Errorf("applog: journal: %w", err)
	}
	return &Journal{conn: conn, to: &net.UnixAddr{Name: path, Net: "unixgram"}}, nil
}

// Close gives the socket back.
func (j *Journal) Close() error { return j.conn.Close() }

// journalPatience is how long a journal may not listen before the line is given back as an error.
const journalPatience = 5 * time.Second

// Send writes one entry. The journal may be started anew between two. Keys are upper case; values are of one line.
func (j *Journal) Send(fields [][2]string) error {
	var b []byte
	for _, f := range fields {
		b = append(b, f[0]...)
		b = append(b, '=')
		b = append(b, strings.ReplaceAll(f[1], "\n", " ")...)
		b = append(b, '\n')
	}
	if err := j.conn.SetWriteDeadline(time.Now().Add(journalPatience)); err != nil {
		return err
	}
	_, err := j.conn.WriteToUnix(b, j.to)
	return err
}

// Entry is a line as an entry of the journal. The field names are those of the daemon's own entries.
func (l Line) Entry(app, version string) [][2]string {
	fields := [][2]string{
		{"MESSAGE", l.Text}, {"PRIORITY", strconv.Itoa(l.priority())}, {"SYSLOG_IDENTIFIER", l.File.Instance},
		{"BEAMKEEPER_APP", app}, {"BEAMKEEPER_INSTANCE", l.File.Instance}, {"BEAMKEEPER_STREAM", l.File.Stream},
		{"BEAMKEEPER_LINE_END", strconv.FormatInt(l.End, 10)},
	}
	if version != "" {
		fields = append(fields, [2]string{"BEAMKEEPER_VERSION", version})
	}
	if !l.Time.IsZero() {
		fields = append(fields, [2]string{"SYSLOG_TIMESTAMP", l.Time.Format(time.RFC3339Nano)})
	}
	return fields
}

// priority is that of syslog, from 7 (debug) to 0.
func (l Line) priority() int {
	if l.Level == NoLevel {
		if l.File.Stream == "stderr" {
			return 4
		}
		return 6
	}
	return int(Emergency - l.Level)
}

// JournalStream opens a stream to the journal that can be the standard output of a process: what is written to it becomes
// entries, line by line, from whoever holds it. The journal keeps its end over a restart of its own, and nothing of it ends
// with us.
//
// Spec: sd_journal_stream_fd(3)
func JournalStream(dir, identifier, unit string, priority int) (*os.File, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(dir, "stdout"), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("applog: journal: %w", err)
	}
	defer conn.Close() // File is a copy
	// identifier, unit, priority, whether lines begin with <N>, and to what else they go: nothing
	head := fmt.Sprintf("%s\n%s\n%d\n0\n0\n0\n0\n", identifier, unit, priority)
	if _, err := conn.Write([]byte(head)); err != nil {
		return nil, fmt.Errorf("applog: journal: %w", err)
	}
	if err := conn.CloseRead(); err != nil {
		return nil, fmt.Errorf("applog: journal: %w", err)
	}
	f, err := conn.File()
	if err != nil {
		return nil, fmt.Errorf("applog: journal: %w", err)
	}
	return f, nil
}

// HasJournal says whether systemd's journal is there.
func HasJournal(dir string) bool {
	st, err := os.Stat(filepath.Join(dir, "stdout"))
	return err == nil && st.Mode()&os.ModeSocket != 0 || errors.Is(err, os.ErrPermission)
}
