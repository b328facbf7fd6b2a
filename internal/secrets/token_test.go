package secrets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(text string, mode os.FileMode) string {
		f := filepath.Join(dir, "t")
		os.Remove(f)
		if err := os.WriteFile(f, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(f, mode); err != nil {
			t.Fatal(err)
		}
		return f
	}
	long := strings.Repeat("0123456789abcdef", 2)
	s, err := LoadToken(write(long+"\n", 0o400))
	if err != nil || s.Reveal() != long {
		t.Errorf("LoadToken: %v", err)
	}
	var mode *ModeError
	if _, err := LoadToken(write(long, 0o644)); !errors.As(err, &mode) {
		t.Errorf("a file that others read: %v", err)
	}
	for name, text := range map[string]string{"short": "x", "two lines": long + "\n" + long, "too long": strings.Repeat("x", 2000), "empty": ""} {
		if _, err := LoadToken(write(text, 0o600)); err == nil || strings.Contains(err.Error(), long) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadToken(dir); err == nil {
		t.Error("a folder")
	}
}
