package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cookie")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return file
}

func env(vars map[string]string) func(string) string {
	return func(key string) string { return vars[key] }
}

func TestSecret_ShowsItselfToNobody(t *testing.T) {
	t.Parallel()
	const text = "hunter2hunter2"
	s := New(text)
	holder := struct {
		Cookie  Secret
		Pointer *Secret
		hidden  Secret
	}{s, &s, s}
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x", "%20s"} {
		if got := fmt.Sprintf(verb, s); got != redacted {
			t.Errorf("%s gives %s", verb, got)
		}
		fmt.Fprintf(&shown, verb+"\n", holder)
		fmt.Fprintf(&shown, verb+"\n", []Secret{s})
		fmt.Fprintf(&shown, verb+"\n", map[Secret]Secret{s: s})
	}
	for _, v := range []any{s, holder, map[Secret]int{s: 1}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "s", s, "p", &s, "h", holder)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a", "s", s, "p", &s, "h", holder)
	shown.Write(log.Bytes())
	for _, told := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), fmt.Sprintf("% x", "hunter2"), "104 117"} {
		if strings.Contains(shown.String(), told) {
			t.Errorf("%q is told:\n%s", told, shown.String())
		}
	}
	if s.Reveal() != text || s.IsZero() || !(Secret{}).IsZero() || !s.Equal(New(text)) || s.Equal(New("x")) || !New("").Equal(Secret{}) {
		t.Error("Reveal, IsZero or == do not hold")
	}
}

func TestLoadCookie(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o400, 0o600, 0o700} {
		if s, err := LoadCookie(write(t, " ABC-def_123\n", mode)); err != nil || s.Reveal() != "ABC-def_123" {
			t.Errorf("mode %04o: %q, %v", mode, s.Reveal(), err)
		}
	}
}

func TestLoadCookie_RefusesFilesThatOthersMayUse(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o440, 0o604, 0o644, 0o620, 0o602, 0o601, 0o666} {
		file := write(t, "abc", mode)
		_, err := LoadCookie(file)
		var e *ModeError
		if !errors.As(err, &e) || e.Mode != mode || e.File != file {
			t.Errorf("mode %04o: %v, want a *ModeError", mode, err)
			continue
		}
		if !strings.HasSuffix(err.Error(), "run: chmod 0400 "+file) {
			t.Errorf("mode %04o: %v names no remedy", mode, err)
		}
	}
}

func TestModeError_QuotesForTheShell(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{"/a/b": "/a/b", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "": "''"} {
		if err := (&ModeError{File: file, Mode: 0o644}); !strings.HasSuffix(err.Error(), "chmod 0400 "+want) {
			t.Errorf("%v, want %s at its end", err, want)
		}
	}
}

func TestLoadCookie_RefusesWhatIsNoCookie(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "white space": " \n\t", "two words": "abc def", "two lines": "abc\ndef", "not ASCII": "grüße",
		"a zero byte": "a\x00b", "too long": strings.Repeat("x", 256), "a large file": strings.Repeat("x", 1<<20),
	} {
		_, err := LoadCookie(write(t, text, 0o400))
		var e *CookieError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, want a *CookieError", name, err)
		} else if trimmed := strings.TrimSpace(text); trimmed != "" && strings.Contains(err.Error(), trimmed) {
			t.Errorf("%s: the error repeats the cookie", name)
		}
	}
	if s, err := LoadCookie(write(t, strings.Repeat("x", 255), 0o400)); err != nil || len(s.Reveal()) != 255 {
		t.Errorf("255 bytes: %v", err)
	}
	dir := t.TempDir()
	var e *CookieError
	if _, err := LoadCookie(dir); !errors.As(err, &e) {
		t.Errorf("a folder: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCookie(fifo); !errors.As(err, &e) {
		t.Errorf("a FIFO: %v", err)
	}
	if _, err := LoadCookie(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestLoad_Precedence(t *testing.T) {
	t.Parallel()
	file, generated := write(t, "fromfile", 0o400), write(t, "fromvar", 0o400)
	vars := env(map[string]string{EnvCookie: "fromenv", EnvAdminHashedPassword: "$2b$12$x", EnvSecretKeyBase: "base"})
	for _, tt := range []struct {
		name       string
		o          Options
		want, from string
	}{
		{"cookie_file wins", Options{CookieFile: file, Adapter: "env", Generated: generated, Getenv: vars}, "fromfile", file},
		{"then the adapter", Options{Adapter: "env", Generated: generated, Getenv: vars}, "fromenv", EnvCookie},
		{"then the generated one", Options{Adapter: "none", Generated: generated, Getenv: vars}, "fromvar", generated},
		{"no adapter", Options{Generated: generated, Getenv: vars}, "fromvar", generated},
	} {
		s, err := Load(tt.o)
		if err != nil || s.Cookie.Reveal() != tt.want || s.CookieFrom != tt.from || s.Created {
			t.Errorf("%s: %q from %q, created %t, %v; want %q from %q", tt.name, s.Cookie.Reveal(), s.CookieFrom, s.Created, err, tt.want, tt.from)
		}
		wantOthers := tt.o.Adapter == "env"
		if got := s.AdminHashedPassword.Reveal() == "$2b$12$x" && s.SecretKeyBase.Reveal() == "base"; got != wantOthers {
			t.Errorf("%s: the other secrets are there: %t, want %t", tt.name, got, wantOthers)
		}
	}
}

func TestLoad_EnvErrors(t *testing.T) {
	t.Parallel()
	var missing *MissingError
	if _, err := Load(Options{Adapter: "env", Getenv: env(nil)}); !errors.As(err, &missing) || missing.Variable != EnvCookie {
		t.Errorf("without the variable: %v", err)
	}
	var bad *CookieError
	if _, err := Load(Options{Adapter: "env", Getenv: env(map[string]string{EnvCookie: "s3cr3t two"})}); !errors.As(err, &bad) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("with two words: %v", err)
	}
	var adapter *AdapterError
	if _, err := Load(Options{Adapter: "aws"}); !errors.As(err, &adapter) || adapter.Adapter != "aws" {
		t.Errorf("with aws: %v", err)
	}
}

func TestLoad_MakesTheCookieOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "var", "beamkeeper", "cookie")
	first, err := Load(Options{Generated: file})
	if err != nil || !first.Created || len(first.Cookie.Reveal()) != 32 {
		t.Fatalf("created %t, %d bytes, %v", first.Created, len(first.Cookie.Reveal()), err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o400 {
		t.Errorf("mode %v, %v, want 0400", info.Mode(), err)
	}
	again, err := Load(Options{Generated: file})
	if err != nil || again.Created || !again.Cookie.Equal(first.Cookie) {
		t.Errorf("the second time: created %t, the same %t, %v", again.Created, again.Cookie.Equal(first.Cookie), err)
	}
	other, err := Load(Options{Generated: filepath.Join(t.TempDir(), "cookie")})
	if err != nil || other.Cookie.Equal(first.Cookie) {
		t.Errorf("two cookies are the same, or %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestLoad_AllAgreeOnOneCookie(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cookie")
	const n = 16
	var cookies [n]Secret
	var errs [n]error
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s, err := Load(Options{Generated: file})
			cookies[i], errs[i] = s.Cookie, err
		})
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil || !cookies[i].Equal(cookies[0]) || cookies[i].IsZero() {
			t.Errorf("%d: another cookie, or %v", i, errs[i])
		}
	}
}

func TestCreateCookie_ReplacesNothing(t *testing.T) {
	t.Parallel()
	file := write(t, "precious", 0o400)
	if err := CreateCookie(file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreateCookie = %v, want fs.ErrExist", err)
	}
	if s, err := LoadCookie(file); err != nil || s.Reveal() != "precious" {
		t.Errorf("afterwards %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestLoad_ABadGeneratedCookieIsNotReplaced(t *testing.T) {
	t.Parallel()
	file := write(t, "precious", 0o644)
	var e *ModeError
	if _, err := Load(Options{Generated: file}); !errors.As(err, &e) {
		t.Errorf("Load = %v, want a *ModeError", err)
	}
}
