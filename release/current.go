package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Current is the content of a current.json: the release that an app should run.
type Current struct {
	Version     string
	Hash        string   // any text, such as a git commit; shown and kept, never checked
	PreCommands []string // for the release's own script, run before it starts
	SHA256      string   // of the archive, 64 lower-case hexadecimal digits; empty: not given
	Signature   string   // of all this, as minisign writes it, see Statement; empty: none

	PublishedAt time.Time // in whole seconds; zero: not given

	File  string // where it was read from; not part of the file
	Token string // changes with the content: the sha256 of what was read; not part of the file
}

const (
	// maxCurrent is the size in bytes above which a current.json is refused.
	maxCurrent     = 64 << 10
	maxPreCommands = 64
	maxText        = 4096

	publishedLayout = "2006-01-02T15:04:05Z"
)

var currentKeys = []string{"version", "hash", "pre_commands", "sha256", "published_at", "signature"}

// ParseCurrent reads a current.json strictly: one object with the keys version (required), hash, pre_commands,
// sha256, published_at and signature, each at most once and of its type; null stands for an absent key.
// The error is a *CurrentError; file is what it names. File and Token are set in either case.
func ParseCurrent(file string, b []byte) (Current, error) {
	sum := sha256.Sum256(b)
	p := currentParser{file: file, src: b}
	p.cur.File, p.cur.Token = file, hex.EncodeToString(sum[:])
	if err := p.parse(); err != nil {
		return Current{File: file, Token: p.cur.Token}, err
	}
	return p.cur, nil
}

type currentParser struct {
	file string
	src  []byte
	cur  Current
}

func (p *currentParser) parse() error {
	if err := p.checkText(); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(p.src))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return p.errorf(p.valueOffset(0), "not an object: it must look like {\"version\": \"1.0.0\"}")
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return p.errorf(int(dec.InputOffset()), "%v", err)
		}
		key, _ := t.(string)
		at := int(dec.InputOffset())
		if seen[key] {
			return p.errorf(at, "key %q for the second time", key)
		}
		seen[key] = true
		var value json.RawMessage
		at = p.valueOffset(at)
		if err := dec.Decode(&value); err != nil {
			return p.errorf(at, "%v", err)
		}
		if err := p.setKey(key, value, at); err != nil {
			return err
		}
	}
	if p.cur.Version == "" {
		return p.errorf(len(p.src), "no key \"version\"")
	}
	return nil
}

// checkText refuses what is no JSON text at all, with the line where it goes wrong.
func (p *currentParser) checkText() error {
	switch {
	case len(p.src) > maxCurrent:
		return p.errorf(0, "larger than %d bytes", maxCurrent)
	case len(bytes.TrimSpace(p.src)) == 0:
		return p.errorf(0, "the file is empty")
	case bytes.HasPrefix(p.src, []byte("\xef\xbb\xbf")):
		return p.errorf(0, "starts with a byte order mark; save it as plain UTF-8")
	case !utf8.Valid(p.src):
		return p.errorf(firstInvalid(p.src), "not valid UTF-8")
	}
	var raw json.RawMessage
	err := json.Unmarshal(p.src, &raw)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		// Offset counts the offending byte.
		return p.errorf(int(syntax.Offset)-1, "%v", err)
	case err != nil:
		return p.errorf(0, "%v", err)
	}
	return nil
}

func (p *currentParser) setKey(key string, value json.RawMessage, at int) error {
	null := string(value) == "null"
	switch key {
	case "version":
		return p.setVersion(value, at)
	case "hash", "sha256", "published_at", "signature":
		if null {
			return nil
		}
		var s string
		if json.Unmarshal(value, &s) != nil {
			return p.errorf(at, "%q must be a string, not %s", key, kindOf(value))
		}
		return p.setText(key, s, at)
	case "pre_commands":
		if null {
			return nil
		}
		return p.setPreCommands(value, at)
	}
	if near := nearestKey(key); near != "" {
		return p.errorf(at, "unknown key %s; did you mean %q?", quoteCut(key), near)
	}
	return p.errorf(at, "unknown key %s; the keys are %s", quoteCut(key), strings.Join(currentKeys, ", "))
}

func (p *currentParser) setVersion(value json.RawMessage, at int) error {
	var s *string
	if json.Unmarshal(value, &s) != nil || s == nil {
		return p.errorf(at, "\"version\" must be a string, not %s", kindOf(value))
	}
	if err := CheckVersion(*s); err != nil {
		return p.errorf(at, "%v", err)
	}
	p.cur.Version = *s
	return nil
}

func (p *currentParser) setText(key, s string, at int) error {
	if len(s) > maxText {
		return p.errorf(at, "%q is longer than %d bytes", key, maxText)
	}
	switch key {
	case "hash":
		p.cur.Hash = s
	case "signature":
		p.cur.Signature = s
	case "published_at":
		published, err := time.Parse(publishedLayout, s)
		if err != nil {
			return p.errorf(at, "\"published_at\" must be a time such as 2026-01-02T03:04:05Z, not %s", quoteCut(s))
		}
		p.cur.PublishedAt = published
	case "sha256":
		if err := checkSum(s); err != nil {
			return p.errorf(at, "\"sha256\" %v", err)
		}
		p.cur.SHA256 = strings.ToLower(s)
	}
	return nil
}

func (p *currentParser) setPreCommands(value json.RawMessage, at int) error {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return p.errorf(at, "\"pre_commands\" must be a list of strings, not %s", kindOf(value))
	}
	if len(list) > maxPreCommands {
		return p.errorf(at, "\"pre_commands\" has more than %d commands", maxPreCommands)
	}
	var commands []string
	for i, raw := range list {
		var s *string
		if json.Unmarshal(raw, &s) != nil || s == nil {
			return p.errorf(at, "\"pre_commands\" must be a list of strings; number %d is %s", i+1, kindOf(raw))
		}
		if err := checkPreCommand(*s); err != nil {
			return p.errorf(at, "\"pre_commands\" number %d %v", i+1, err)
		}
		commands = append(commands, *s)
	}
	p.cur.PreCommands = commands
	return nil
}

// checkSum says whether s can be a sha256 in text.
func checkSum(s string) error {
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
		return fmt.Errorf("must be 64 hexadecimal digits, not %s", quoteCut(s))
	}
	return nil
}

func checkPreCommand(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("is empty")
	case len(s) > maxText:
		return fmt.Errorf("is longer than %d bytes", maxText)
	case strings.ContainsAny(s, "\x00\n\r"):
		return errors.New("has a line break or a zero byte in it")
	}
	return nil
}

// valueOffset returns where the value begins whose key ends at from.
func (p *currentParser) valueOffset(from int) int {
	for from < len(p.src) && strings.IndexByte(" \t\r\n:", p.src[from]) >= 0 {
		from++
	}
	return from
}

// errorf makes the error for the line of offset.
func (p *currentParser) errorf(offset int, format string, args ...any) *CurrentError {
	offset = max(0, min(offset, len(p.src)))
	// A file's last line break does not begin a line that people see.
	if offset == len(p.src) {
		offset = len(bytes.TrimRight(p.src, "\r\n"))
	}
	line := 1 + bytes.Count(p.src[:offset], []byte("\n"))
	return &CurrentError{File: p.file, Line: line, Reason: fmt.Sprintf(format, args...)}
}

func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(b)
}

func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// nearestKey returns the known key that key is most likely a slip of, or nothing.
func nearestKey(key string) string {
	if len(key) > maxName {
		return ""
	}
	best, most := "", 3
	for _, k := range currentKeys {
		if d := editDistance(strings.ToLower(key), k); d < most {
			best, most = k, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, substitutions that make b from a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Encode writes what ParseCurrent reads, without the parts that are empty.
func (c Current) Encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	// Strings and lists of strings always encode.
	_ = enc.Encode(struct {
		Version     string   `json:"version"`
		Hash        string   `json:"hash,omitempty"`
		PreCommands []string `json:"pre_commands,omitempty"`
		SHA256      string   `json:"sha256,omitempty"`
		PublishedAt string   `json:"published_at,omitempty"`
		Signature   string   `json:"signature,omitempty"`
	}{c.Version, c.Hash, c.PreCommands, c.SHA256, c.publishedText(), c.Signature})
	return b.Bytes()
}

func (c Current) publishedText() string {
	if c.PublishedAt.IsZero() {
		return ""
	}
	return c.PublishedAt.UTC().Format(publishedLayout)
}

// Equal says whether two files ask for the same: what is not part of the file is left out.
func (c Current) Equal(d Current) bool {
	return c.Version == d.Version && c.Hash == d.Hash && c.SHA256 == d.SHA256 && c.Signature == d.Signature &&
		c.PublishedAt.Equal(d.PublishedAt) && slices.Equal(c.PreCommands, d.PreCommands)
}
