package release

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const someSum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseCurrent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       Current
	}{
		{"version alone", `{"version":"1.0.0"}`, Current{Version: "1.0.0"}},
		{"as DeployEx writes it", `{"version":"1.0.0","pre_commands":["eval MyApp.Migrator.migrate"],"hash":"ABC"}`,
			Current{Version: "1.0.0", Hash: "ABC", PreCommands: []string{"eval MyApp.Migrator.migrate"}}},
		{"nulls", `{"version":"1","hash":null,"pre_commands":null,"sha256":null,"signature":null}`, Current{Version: "1"}},
		{"sha256 upper case", "\n {\"version\":\"1\" ,\n\"sha256\":\"" + strings.ToUpper(someSum) + "\"}\n",
			Current{Version: "1", SHA256: someSum}},
		{"signature", `{"version":"1.2.3-rc.1+b5","signature":"x"}`, Current{Version: "1.2.3-rc.1+b5", Signature: "x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseCurrent("f", []byte(tt.text))
			if err != nil || !got.Equal(tt.want) {
				t.Fatalf("ParseCurrent(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
			}
			if got.File != "f" || len(got.Token) != 64 {
				t.Errorf("File %q, Token %q", got.File, got.Token)
			}
			again, err := ParseCurrent("f", got.Encode())
			if err != nil || !again.Equal(got) {
				t.Errorf("ParseCurrent(Encode()) = %+v, %v, want %+v", again, err, got)
			}
		})
	}
}

func TestParseCurrent_NamesLineAndReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		line       int
		reason     string // part of it
	}{
		{"empty", "", 1, "empty"},
		{"blank", "\n\n", 1, "empty"},
		{"cut off", "{\n\"version\": \"1.0.0\",\n", 2, "unexpected end"},
		{"comma missing", "{\n\"version\": \"1\"\n\"hash\": \"x\"}", 3, "invalid character"},
		{"comma too many", "{\n\"version\": \"1\",\n}", 3, "invalid character '}'"},
		{"not an object", "\n[1]", 2, "not an object"},
		{"rubbish behind", "{\"version\":\"1\"}\n\nx", 3, "after top-level value"},
		{"two objects", "{\"version\":\"1\"}\n{}", 2, "after top-level value"},
		{"no version", "{\n\"hash\": \"x\"\n}\n", 3, `no key "version"`},
		{"version null", "{\"version\":null}", 1, `"version" must be a string, not null`},
		{"version a number", "{\n\"version\":\n 1.0}", 3, `"version" must be a string, not a number`},
		{"version empty", `{"version":""}`, 1, "it is empty"},
		{"version with a path", "{\n\n\"version\":\"../x\"}", 3, `it starts with '.'`},
		{"version with a slash", `{"version":"1/2"}`, 1, `'/' is not allowed`},
		{"version with a space", `{"version":"1 2"}`, 1, `' ' is not allowed`},
		{"version with a zero byte", `{"version":"1\u0000"}`, 1, `'\x00' is not allowed`},
		{"version an option", `{"version":"-rf"}`, 1, `starts with '-'`},
		{"version too long", `{"version":"` + strings.Repeat("1", 129) + `"}`, 1, "longer than 128"},
		{"slip in a key", "{\"version\":\"1\",\n \"precommands\":[]}", 2, `unknown key "precommands"; did you mean "pre_commands"?`},
		{"key in capitals", `{"Version":"1"}`, 1, `did you mean "version"?`},
		{"strange key", `{"version":"1","colour":"red"}`, 1, "the keys are version, hash, pre_commands, sha256, published_at, signature"},
		{"twice", "{\"version\":\"1\",\n\"version\":\"2\"}", 2, `"version" for the second time`},
		{"pre_commands a string", `{"version":"1","pre_commands":"x"}`, 1, "must be a list of strings, not a string"},
		{"pre_commands of numbers", `{"version":"1","pre_commands":["a",5]}`, 1, "number 2 is a number"},
		{"pre_commands with a line break", `{"version":"1","pre_commands":["a\nb"]}`, 1, "line break"},
		{"pre_commands with an empty one", `{"version":"1","pre_commands":[" "]}`, 1, "number 1 is empty"},
		{"hash a list", `{"version":"1","hash":[]}`, 1, `"hash" must be a string, not a list`},
		{"sha256 short", `{"version":"1","sha256":"abc"}`, 1, "64 hexadecimal digits"},
		{"byte order mark", "\xef\xbb\xbf{\"version\":\"1\"}", 1, "byte order mark"},
		{"latin-1", "{\"version\":\"1\",\n\"hash\":\"\xe4\"}", 2, "UTF-8"},
		{"huge", `{"version":"1","hash":"` + strings.Repeat("x", maxCurrent) + `"}`, 1, "larger than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseCurrent("/b/current.json", []byte(tt.text))
			var bad *CurrentError
			if !errors.As(err, &bad) || !errors.Is(err, ErrBadCurrent) {
				t.Fatalf("ParseCurrent(%q) = %+v, %v, want *CurrentError", tt.text, got, err)
			}
			if bad.File != "/b/current.json" || bad.Line != tt.line || !strings.Contains(bad.Reason, tt.reason) {
				t.Errorf("ParseCurrent(%q): %v, want line %d: …%s…", tt.text, err, tt.line, tt.reason)
			}
			if got.Version != "" || got.Token == "" {
				t.Errorf("ParseCurrent(%q) = %+v, want a token alone", tt.text, got)
			}
		})
	}
}

func FuzzCurrent(f *testing.F) {
	f.Add([]byte(`{"version":"1.0.0","pre_commands":["eval A.b"],"hash":"ABC"}`))
	f.Add([]byte("{\"version\":\"1\",\n\"sha256\":\"" + someSum + "\"}"))
	f.Add([]byte("{\"version\":\"1\",\n\"versoin\":\"" + someSum + "\""))
	f.Add([]byte("[[[["))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseCurrent("f", b)
		if err != nil {
			var bad *CurrentError
			if !errors.As(err, &bad) || bad.Line < 1 || bad.Line > 1+strings.Count(string(b), "\n") || bad.Reason == "" {
				t.Fatalf("ParseCurrent(%q): %#v", b, err)
			}
			return
		}
		if CheckVersion(got.Version) != nil {
			t.Fatalf("ParseCurrent(%q): version %q", b, got.Version)
		}
		again, err := ParseCurrent("f", got.Encode())
		again.Token = got.Token
		if len(got.Encode()) <= maxCurrent && (err != nil || !reflect.DeepEqual(again, got)) {
			t.Fatalf("ParseCurrent(Encode()) = %+v, %v, want %+v", again, err, got)
		}
	})
}
