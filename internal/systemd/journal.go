package systemd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// identifier is SYSLOG_IDENTIFIER.
const identifier = "beamkeeper"

// Journaled says whether the standard error of this process goes to the journal.
func Journaled() bool {
	ok, err := journal.StderrIsJournalStream()
	return err == nil && ok && journal.Enabled()
}

// Journal is a handler of logs that writes to the journal. MESSAGE is what a person reads, the message and its attributes,
// of an event the message alone; each attribute is a field besides, BEAMKEEPER_ and its key in capitals: BEAMKEEPER_APP, BEAMKEEPER_INSTANCE,
// BEAMKEEPER_EVENT and so on. Entries of events have a MESSAGE_ID.
type Journal struct {
	level slog.Leveler
	send  func(message string, p journal.Priority, fields map[string]string) error

	group  string // of the keys to come, "" or with a dot at its end
	text   string // of the attributes that all entries have
	fields map[string]string
}

// NewJournal makes a handler for entries from level on.
func NewJournal(level slog.Leveler) *Journal {
	return &Journal{level: level, send: journal.Send, fields: map[string]string{"SYSLOG_IDENTIFIER": identifier}}
}

// Enabled is that of slog.Handler.
func (j *Journal) Enabled(_ context.Context, l slog.Level) bool { return l >= j.level.Level() }

// Handle is that of slog.Handler.
func (j *Journal) Handle(_ context.Context, r slog.Record) error {
	e := j.clone()
	r.Attrs(func(a slog.Attr) bool {
		e.add(j.group, a)
		return true
	})
	if event := e.fields["BEAMKEEPER_EVENT"]; event != "" {
		e.fields["MESSAGE_ID"] = MessageID(event)
		e.text = "" // the message of an event says it all
	}
	if err := j.send(r.Message+e.text, priority(r.Level), e.fields); err != nil {
		return fmt.Errorf("systemd: journal: %w", err)
	}
	return nil
}

// WithAttrs is that of slog.Handler.
func (j *Journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	e := j.clone()
	for _, a := range attrs {
		e.add(j.group, a)
	}
	return e
}

// WithGroup is that of slog.Handler.
func (j *Journal) WithGroup(name string) slog.Handler {
	e := j.clone()
	if name != "" {
		e.group += name + "."
	}
	return e
}

func (j *Journal) clone() *Journal {
	e := *j
	e.fields = make(map[string]string, len(j.fields)+4)
	for k, v := range j.fields {
		e.fields[k] = v
	}
	return &e
}

func (j *Journal) add(group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range v.Group() {
			j.add(group, member)
		}
		return
	}
	if a.Key == "" {
		return
	}
	value := v.String()
	if field := fieldName(group + a.Key); field != "" {
		j.fields[field] = value
	}
	if strings.ContainsAny(value, " \t\"=") || value == "" {
		value = fmt.Sprintf("%q", value)
	}
	j.text += " " + group + a.Key + "=" + value
}

// fieldName is the journal's name for a key: capitals, digits and _, at most 64 bytes.
func fieldName(key string) string {
	name := "BEAMKEEPER_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return '_'
	}, key)
	return name[:min(len(name), 64)]
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	case l >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}

// MessageID is the MESSAGE_ID of events of a type, such as crash_restart, the same for ever: the first 128 bits of the
// SHA-256 of "beamkeeper event " and the type, marked as a UUID of version 8 (RFC 9562).
func MessageID(event string) string {
	sum := sha256.Sum256([]byte("beamkeeper event " + event))
	id := slices.Clone(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return hex.EncodeToString(id)
}
