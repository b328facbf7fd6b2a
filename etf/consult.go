package etf

import (
	"math/big"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxTextDepth is how deep terms in text may nest.
const maxTextDepth = 10000

// Consult reads Erlang terms, each ended by a full stop, as file:consult/1 does: .app, .appup, .rel, relup, sys.config
// and ssl_dist_opt files. b is UTF-8 unless one of its first two lines says "coding: latin-1". name is used in errors.
//
// Strings become a Charlist, or a List when a character is above 255; "" becomes an empty List. A map that names a key
// twice keeps the last value. Errors: *TextError.
func Consult(name string, b []byte) ([]Term, error) {
	text := string(b)
	if latin1Coding(b) {
		text = string(latin1ToUTF8(b))
	}
	p := &parser{scanner: scanner{name: name, text: text}}
	var terms []Term
	err := p.run(func() {
		for p.advance(); p.tok.kind != tokEnd; p.advance() {
			terms = append(terms, p.term(0))
			if p.tok.kind != tokDot {
				p.unexpected("a full stop")
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return terms, nil
}

var coding = regexp.MustCompile(`coding[ \t]*[:=][ \t]*([-a-zA-Z0-9]+)`)

// latin1Coding looks for an encoding in a comment of the first two lines, as epp does.
func latin1Coding(b []byte) bool {
	lines := strings.SplitN(string(b[:min(len(b), 4096)]), "\n", 3)
	for _, line := range lines[:min(len(lines), 2)] {
		if _, comment, ok := strings.Cut(line, "%"); ok {
			if m := coding.FindStringSubmatch(comment); m != nil {
				return strings.EqualFold(m[1], "latin-1")
			}
		}
	}
	return false
}

// ParseTerm reads one Erlang term from text; the full stop at its end may be left out. Errors: *TextError.
func ParseTerm(text string) (Term, error) {
	p := &parser{scanner: scanner{text: text}}
	var t Term
	err := p.run(func() {
		p.advance()
		t = p.term(0)
		p.finish()
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ParseCall reads a call such as "m:f(Args)." or "'Elixir.Foo':bar(1)", whose arguments are terms; the full stop at its
// end may be left out. Errors: *TextError.
func ParseCall(text string) (mod, fun Atom, args []Term, err error) {
	p := &parser{scanner: scanner{text: text}}
	err = p.run(func() {
		p.advance()
		mod = p.atom("a module")
		p.expect(":")
		fun = p.atom("a function")
		p.expect("(")
		args = []Term{}
		for !p.punctIs(")") {
			if len(args) > 0 {
				p.expect(",")
			}
			args = append(args, p.term(0))
		}
		p.advance()
		p.finish()
	})
	if err != nil {
		return "", "", nil, err
	}
	return mod, fun, args, nil
}

// parser reads terms by recursive descent, one token ahead.
type parser struct {
	scanner
	tok    token
	hashes hasher
}

// run calls f and returns the error that scanner or parser threw in it.
func (p *parser) run(f func()) (err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case scanError:
			err = p.position(e)
		default:
			panic(e)
		}
	}()
	f()
	return nil
}

func (p *parser) advance() { p.tok = p.next() }

func (p *parser) unexpected(want string) {
	p.fail(p.tok.at, "%s where %s should be", p.tok, want)
}

func (p *parser) punctIs(text string) bool { return p.tok.kind == tokPunct && p.tok.text == text }

// accept passes over a punctuation mark if it is next.
func (p *parser) accept(text string) bool {
	if !p.punctIs(text) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.unexpected(`"` + text + `"`)
	}
}

// finish takes a full stop or none and the end of the text.
func (p *parser) finish() {
	if p.tok.kind == tokDot {
		p.advance()
	}
	if p.tok.kind != tokEnd {
		p.unexpected("the end of the text")
	}
}

func (p *parser) isWord(word string) bool {
	return p.tok.kind == tokAtom && p.tok.value == nil && p.tok.text == word
}

// atom takes an atom; reserved words need quotes, except those that are reserved in newer OTPs only.
func (p *parser) atom(want string) Atom {
	if p.tok.kind != tokAtom {
		p.unexpected(want)
	}
	a := Atom(p.tok.text)
	if p.tok.value == nil && reserved[a] && a != "maybe" && a != "else" {
		p.fail(p.tok.at, "%s is a reserved word; as an atom it needs quotes", a)
	}
	p.advance()
	return a
}

func (p *parser) term(depth int) Term {
	if depth++; depth > maxTextDepth {
		p.fail(p.tok.at, "nested deeper than %d", maxTextDepth)
	}
	tok := p.tok
	switch tok.kind {
	case tokNumber:
		p.advance()
		return tok.value
	case tokString:
		return stringTerm(p.strings())
	case tokBinary:
		p.advance()
		return Binary(tok.text)
	case tokAtom:
		if p.isWord("fun") {
			return p.export()
		}
		return p.atom("a term")
	case tokPunct:
		if t, ok := p.compound(tok.text, depth); ok {
			return t
		}
	case tokVar:
		p.fail(tok.at, "%s is a variable, not a term", tok.text)
	}
	p.unexpected("a term")
	return nil
}

// compound takes what begins with a punctuation mark; false if no term begins with it.
func (p *parser) compound(mark string, depth int) (Term, bool) {
	switch mark {
	case "{":
		p.advance()
		return Tuple(p.elems("}", depth)), true
	case "[":
		p.advance()
		return p.list(depth), true
	case "#":
		p.advance()
		p.expect("{")
		return p.mapTerm(depth), true
	case "<<":
		p.advance()
		return p.binary(), true
	case "(":
		p.advance()
		t := p.term(depth)
		p.expect(")")
		return t, true
	case "-", "+":
		p.advance()
		return p.signed(mark == "-", depth), true
	}
	return nil, false
}

// strings takes adjacent strings as one.
func (p *parser) strings() string {
	text := p.tok.text
	for p.advance(); p.tok.kind == tokString; p.advance() {
		text += p.tok.text
	}
	return text
}

// stringTerm is the list of text's characters.
func stringTerm(text string) Term {
	if text == "" {
		return emptyList
	}
	wide := false
	for _, c := range text {
		wide = wide || c > 0xFF
	}
	if wide {
		list := make(List, 0, utf8.RuneCountInString(text))
		for _, c := range text {
			list = append(list, int64(c))
		}
		return list
	}
	latin1 := make([]byte, 0, len(text))
	for _, c := range text {
		latin1 = append(latin1, byte(c))
	}
	return Charlist(latin1)
}

// elems takes terms separated by commas and the closing mark.
func (p *parser) elems(end string, depth int) []Term {
	elems := []Term{}
	for !p.accept(end) {
		if len(elems) > 0 {
			if !p.accept(",") {
				p.unexpected(`"," or "` + end + `"`)
			}
		}
		elems = append(elems, p.term(depth))
	}
	return elems
}

func (p *parser) list(depth int) Term {
	if p.accept("]") {
		return emptyList
	}
	elems := []Term{p.term(depth)}
	for {
		switch {
		case p.accept("]"):
			return List(elems)
		case p.accept("|"):
			tail := p.term(depth)
			p.expect("]")
			return plainImproper(ImproperList{Elems: elems, Tail: tail})
		case p.accept(","):
			elems = append(elems, p.term(depth))
		default:
			p.unexpected(`",", "|" or "]"`)
		}
	}
}

func (p *parser) mapTerm(depth int) Term {
	m := Map{}
	index := map[uint64][]int{}
	for !p.accept("}") {
		if len(m) > 0 {
			if !p.accept(",") {
				p.unexpected(`"," or "}"`)
			}
		}
		key := p.term(depth)
		p.expect("=>")
		value := p.term(depth)
		h := p.hashes.hash(key)
		known := false
		for _, i := range index[h] {
			if Equal(m[i].Key, key) {
				m[i].Value, known = value, true
			}
		}
		if !known {
			index[h] = append(index[h], len(m))
			m = append(m, MapPair{Key: key, Value: value})
		}
	}
	return m
}

// signed takes the operand of a unary minus or plus.
func (p *parser) signed(minus bool, depth int) Term {
	at := p.tok.at
	if p.tok.kind != tokNumber && !p.punctIs("(") {
		p.unexpected("a number")
	}
	t := p.term(depth)
	switch v := t.(type) {
	case int64:
		if minus {
			return normalBig(new(big.Int).Neg(big.NewInt(v)))
		}
	case *big.Int:
		if minus {
			return normalBig(new(big.Int).Neg(v))
		}
	case float64:
		if minus {
			return -v
		}
	default:
		p.fail(at, "a sign before something that is no number")
	}
	return t
}

// normalBig is v as an int64 if it fits.
func normalBig(v *big.Int) Term {
	if v.IsInt64() {
		return v.Int64()
	}
	return v
}

// export takes fun M:F/A.
func (p *parser) export() Term {
	p.advance()
	var x Export
	x.Module = p.atom("a module")
	p.expect(":")
	x.Function = p.atom("a function")
	p.expect("/")
	arity, ok := p.tok.value.(int64)
	if p.tok.kind != tokNumber || !ok || arity < 0 || arity > 255 {
		p.unexpected("an arity")
	}
	p.advance()
	x.Arity = uint8(arity)
	return x
}
