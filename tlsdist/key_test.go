package tlsdist

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func readKey(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "keys", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The keys were made by OpenSSL 3.0; all but pkcs1.pem are one and the same.
func TestParseKey(t *testing.T) {
	t.Parallel()
	plain, err := parseKey(readKey(t, "sec1.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, password string
		want           error
	}{
		{"pkcs8.pem", "", nil},
		{"pbes2-aes-128-cbc.pem", "open", nil},
		{"pbes2-aes-192-cbc.pem", "open", nil},
		{"pbes2-aes-256-cbc.pem", "open", nil},
		{"pbes2-des3.pem", "open", nil},
		{"pbes2-aes-256-cbc.pem", "", ErrKeyPassword},
		{"pbes2-aes-256-cbc.pem", "closed", ErrKeyPassword},
		{"scrypt.pem", "open", ErrKeyFormat},
		{"legacy.pem", "open", ErrKeyFormat},
	} {
		got, err := parseKey(readKey(t, c.file), []byte(c.password))
		if !errors.Is(err, c.want) {
			t.Errorf("%s with password %q: %v, want %v", c.file, c.password, err, c.want)
		}
		if c.want == nil && !got.(*ecdsa.PrivateKey).Equal(crypto.PrivateKey(plain)) {
			t.Errorf("%s with password %q: another key", c.file, c.password)
		}
	}
	if _, err := parseKey(readKey(t, "pkcs1.pem"), nil); err != nil {
		t.Errorf("pkcs1.pem: %v", err)
	}
	if _, err := parseKey([]byte("nothing"), nil); !errors.Is(err, ErrKeyFormat) {
		t.Errorf("no PEM: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	files, err := filepath.Glob("testdata/keys/*.pem")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := parseKey(b, []byte("open"))
		if err == nil && key.Public() == nil {
			t.Error("a key without its public half")
		}
		if err != nil && !errors.Is(err, ErrKeyFormat) && !errors.Is(err, ErrKeyPassword) {
			t.Errorf("untyped error %v", err)
		}
	})
}
