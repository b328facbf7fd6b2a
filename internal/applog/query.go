package applog

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"time"
)

// File is one log file of an instance, with its archives.
type File struct {
	Path     string
	Instance string
	Stream   string // stdout, stderr
}

// Query says which lines Search gives. The zero Query of some files is all their lines.
type Query struct {
	Files []File

	Lines  int            // the last so many of each file that match; 0: all; below 0: none of those that are there
	Since  time.Time      // only lines of this time or later; zero: all
	Until  time.Time      // only lines before; zero: all
	Level  Level          // only lines at least so grave; NoLevel: all
	Grep   *regexp.Regexp // only lines that match; nil: all
	Invert bool           // only lines that Grep does not match

	Follow bool          // go on with what is added, until ctx ends
	More   func() []File // with Follow: the files that there are now; called now and then. New ones are given from their beginning

	// From continues an earlier Search: by path, the End of the last line it gave. Files that are not in it are given from
	// their beginning, and Lines does not count. Nil: not continued.
	From map[string]int64
}

// Line is one line: valid UTF-8, without its line end, cut at MaxLine.
type Line struct {
	File  File
	Text  string
	Time  time.Time // its own; else that of the line before it; else when it arrived, as far as that is known
	Level Level     // its own; else that of the line it belongs to
	End   int64     // where in the stream of its file the next line begins
}

// filter is what a Query asks of a line.
type filter struct {
	since, until int64 // Unix nanoseconds; 0: none
	level        Level
	grep         *regexp.Regexp
	invert       bool
	literals     []literal // in every line that matches
	plain        bool      // the first of them is all that grep asks for
}

func (q *Query) filter() filter {
	f := filter{level: q.Level, grep: q.Grep, invert: q.Invert}
	if !q.Since.IsZero() {
		f.since = q.Since.UnixNano()
	}
	if !q.Until.IsZero() {
		f.until = q.Until.UnixNano()
	}
	if q.Grep != nil {
		if re, err := syntax.Parse(q.Grep.String(), syntax.Perl); err == nil {
			re = re.Simplify()
			f.literals = literalsOf(re)
			f.plain = re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0
		}
	}
	return f
}

// literal is a text that is in everything that an expression matches.
type literal struct {
	text []byte
	fold bool // in whatever case of its letters; text is in lower case then
}

// literalsOf finds such texts in re.
func literalsOf(re *syntax.Regexp) []literal {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return []literal{{text: []byte(string(re.Rune))}}
		}
		return foldLiterals(re.Rune)
	case syntax.OpCapture, syntax.OpPlus:
		return literalsOf(re.Sub[0])
	case syntax.OpConcat:
		var all []literal
		for _, sub := range re.Sub {
			all = append(all, literalsOf(sub)...)
		}
		return all
	}
	return nil
}

// foldLiterals leaves out what is not ASCII, and k and s, which have variants that are not.
func foldLiterals(runes []rune) (all []literal) {
	var run []byte
	for _, r := range append(runes, 'k') {
		if r < 0x80 && r|0x20 != 'k' && r|0x20 != 's' {
			run = append(run, lowerByte(byte(r)))
			continue
		}
		if len(run) > 0 {
			all = append(all, literal{text: run, fold: true})
			run = nil
		}
	}
	return all
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func lowered(into, b []byte) []byte {
	into = append(into[:0], b...)
	for i, c := range into {
		into[i] = lowerByte(c)
	}
	return into
}

// rarest chooses the text to look for: that which is in the fewest places of a sample.
func rarest(all []literal, sample []byte) literal {
	lower := lowered(nil, sample)
	best, least := literal{}, -1
	for _, l := range all {
		if len(l.text) < 2 && len(all) > 1 {
			continue
		}
		hay := sample
		if l.fold {
			hay = lower
		}
		if n := bytes.Count(hay, l.text); least < 0 || n < least {
			best, least = l, n
		}
	}
	return best
}

// text says whether the line's text is asked for.
func (f *filter) text(line []byte) bool {
	if f.grep == nil {
		return true
	}
	return f.matches(line) != f.invert
}

func (f *filter) matches(line []byte) bool {
	for _, l := range f.literals {
		if !l.fold && !bytes.Contains(line, l.text) {
			return false
		}
	}
	return f.plain || f.grep.Match(line)
}

// each says whether time and level of every line must be known to choose.
func (f *filter) each() bool { return f.since != 0 || f.until != 0 || f.level != NoLevel }

// hit is a line that was chosen.
type hit struct {
	text  []byte // of the chunk
	at    int64  // Unix nanoseconds; 0: not known
	level Level
	end   int64
}

// scanner chooses lines of one file, chunk by chunk, in their order.
type scanner struct {
	filter
	stamps  *stamper
	at      int64 // of the last line that has a time; 0: none yet
	lvl     Level
	unknown int64 // the time of lines before the first that has one
	seek    literal
	lower   []byte // of the chunk, where that is looked at
}

// chunk looks at whole lines; pos is where in the stream they begin.
func (s *scanner) chunk(b []byte, pos int64, give func(hit) bool) bool {
	if s.at == 0 {
		s.before(b)
	}
	if !s.each() && len(s.literals) > 0 && !s.invert {
		if s.seek.text == nil {
			s.seek = rarest(s.literals, b)
		}
		return s.jump(b, pos, give)
	}
	for start := 0; start < len(b); {
		end := len(b)
		line := b[start:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			end, line = start+i+1, line[:i]
		}
		start = end
		s.note(line)
		if !s.right() || !s.text(trimCR(line)) {
			continue
		}
		if !give(hit{text: trimCR(line), at: s.time(), level: s.lvl, end: pos + int64(end)}) {
			return false
		}
	}
	return true
}

// before finds the first time in the first chunk: lines without one at its beginning are older.
func (s *scanner) before(b []byte) {
	first := *s.stamps
	for rest := b; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if at, _, ok := first.stamp(line); ok {
			s.unknown = at - 1
			return
		}
	}
}

// note takes the time and the level of a line over, if it has them.
func (s *scanner) note(line []byte) {
	at, n, ok := s.stamps.stamp(line)
	if ok {
		s.at = at
	}
	switch l := levelOf(line, n); {
	case l != NoLevel:
		s.lvl = l
	case ok:
		s.lvl = NoLevel
	case isLastWords(line):
		s.lvl = Critical
	}
}

func (s *scanner) time() int64 {
	if s.at == 0 {
		return s.unknown
	}
	return s.at
}

// right says whether time and level of the line are asked for.
func (s *scanner) right() bool {
	at := s.time()
	return (s.since == 0 || at >= s.since) && (s.until == 0 || at < s.until) && s.lvl >= s.level
}

// jump goes from one place with the text that is sought to the next, and looks at nothing else.
func (s *scanner) jump(b []byte, pos int64, give func(hit) bool) bool {
	noted := 0 // what is before it was taken over
	hay := b
	if s.seek.fold {
		s.lower = lowered(s.lower, b)
		hay = s.lower
	}
	for start := 0; start < len(b); {
		i := bytes.Index(hay[start:], s.seek.text)
		if i < 0 {
			break
		}
		begin := start + bytes.LastIndexByte(b[start:start+i], '\n') + 1
		end := len(b)
		line := b[begin:]
		if n := bytes.IndexByte(b[start+i:], '\n'); n >= 0 {
			end = start + i + n + 1
			line = b[begin : end-1]
		}
		start = end
		line = trimCR(line)
		if !s.matches(line) {
			continue
		}
		s.lookBack(b[noted:end])
		noted = end
		if !give(hit{text: line, at: s.time(), level: s.lvl, end: pos + int64(end)}) {
			return false
		}
	}
	s.lookBack(b[noted:])
	return true
}

// lookBack takes over what the last lines of b say, back to one that has a time.
func (s *scanner) lookBack(b []byte) {
	const most = 200 // lines
	starts := make([]int, 0, 8)
	for end, n := len(b), 0; end > 0 && n < most; n++ {
		start := bytes.LastIndexByte(b[:end-1], '\n') + 1
		starts = append(starts, start)
		if _, _, ok := s.stamps.peek(b[start:end]); ok {
			break
		}
		end = start
	}
	for i := len(starts) - 1; i >= 0; i-- {
		line, _, _ := bytes.Cut(b[starts[i]:], []byte("\n"))
		s.note(line)
	}
}

func trimCR(line []byte) []byte { return bytes.TrimSuffix(line, []byte("\r")) }

// lineText is a line as people get it.
func lineText(b []byte) string {
	cut := len(b) > MaxLine
	if cut {
		b = b[:MaxLine]
	}
	text := string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
	if cut {
		text += "…"
	}
	return text
}
