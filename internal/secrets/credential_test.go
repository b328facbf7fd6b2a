package secrets

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLoad_CredentialFirst(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	own := filepath.Join(other, "own")
	if err := os.WriteFile(own, []byte("own"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{EnvCredentials: dir}
	load := func() (Secrets, error) {
		return Load(Options{CookieFile: own, Generated: filepath.Join(other, "made"), Getenv: func(k string) string { return env[k] }})
	}
	if s, err := load(); err != nil || s.Cookie.Reveal() != "own" {
		t.Errorf("without a credential: %q, %v, want that of the file", s.Cookie.Reveal(), err)
	}
	file := filepath.Join(dir, CredentialCookie)
	if err := os.WriteFile(file, []byte("passed\n"), 0o440); err != nil { // the mode that an access list shows
		t.Fatal(err)
	}
	if s, err := load(); err != nil || s.Cookie.Reveal() != "passed" || s.CookieFrom != file {
		t.Errorf("with a credential: %q from %q, %v", s.Cookie.Reveal(), s.CookieFrom, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cookie.a"), []byte("two words"), 0o400); err != nil {
		t.Fatal(err)
	}
	var bad *CookieError
	if _, _, ok, err := CookieCredential(dir, "cookie.a"); ok || !errors.As(err, &bad) {
		t.Errorf("a bad credential: %v, %v", ok, err)
	}
	for _, d := range []string{"", dir} {
		if _, _, ok, err := CookieCredential(d, "cookie.b"); ok || err != nil {
			t.Errorf("no credential in %q: %v, %v", d, ok, err)
		}
	}
}
