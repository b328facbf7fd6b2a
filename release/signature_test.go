package release

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newKey(t *testing.T) PrivateKey {
	t.Helper()
	_, key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed is a current.json signed by key, and trust one that knows keys.
func signed(t *testing.T, key PrivateKey, at time.Time) Current {
	t.Helper()
	cur := Current{
		Version: "1.2.0", Hash: "1a2b3c", SHA256: strings.Repeat("ab", 32), PublishedAt: at.UTC().Truncate(time.Second),
		PreCommands: []string{"eval Shop.migrate()", "eval Shop.seed()"},
	}
	if err := key.Sign("shop", "prod", &cur); err != nil {
		t.Fatal(err)
	}
	return cur
}

func trusting(policy string, keys ...PrivateKey) *Trust {
	t := &Trust{Policy: policy}
	for _, k := range keys {
		t.Keys = append(t.Keys, k.Public())
	}
	return t
}

func TestStatement(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got, err := Statement("shop", "prod", Current{Version: "1.2.0", Hash: "1a2b3c", SHA256: strings.Repeat("AB", 32), PublishedAt: at, PreCommands: []string{"eval a", "eval b"}})
	const want = "beamkeeper release 1\napp shop\naccount prod\nversion 1.2.0\nsha256 abababababababababababababababababababababababababababababababab\n" +
		"published_at 2026-01-02T03:04:05Z\nhash 1a2b3c\npre_command eval a\npre_command eval b\n"
	if err != nil || string(got) != want {
		t.Errorf("Statement = %q, %v, want %q", got, err, want)
	}
	got, err = Statement("shop", "", Current{Version: "1.2.0", SHA256: strings.Repeat("ab", 32), PublishedAt: at})
	if err != nil || strings.Contains(string(got), "account") || strings.Contains(string(got), "hash") || strings.Contains(string(got), "pre_command") {
		t.Errorf("Statement of little = %q, %v", got, err)
	}
	for _, cur := range []Current{
		{Version: "1", PublishedAt: at}, {Version: "1", SHA256: strings.Repeat("ab", 32)},
		{Version: "1", PublishedAt: at, SHA256: strings.Repeat("ab", 32), Hash: "a\nversion 2"},
	} {
		if got, err := Statement("shop", "", cur); !errors.Is(err, ErrSignature) {
			t.Errorf("Statement(%+v) = %q, %v, want ErrSignature", cur, got, err)
		}
	}
}

// Whatever of a signed current.json is changed, moved or left out, it is refused.
func TestTrust_EveryPartIsCovered(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good := signed(t, key, time.Now())
	trust := trusting(VerifyIfPresent, newKey(t), key)
	if err := trust.check("shop", "prod", good); err != nil {
		t.Fatal(err)
	}
	again, err := ParseCurrent("current.json", good.Encode())
	if err != nil || !again.Equal(good) {
		t.Fatalf("written and read again: %+v, %v, want %+v", again, err, good)
	}
	if err := trust.check("shop", "prod", again); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(good.Encode(), &fields); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Current){
		"version":             func(c *Current) { c.Version = "1.2.1" },
		"hash":                func(c *Current) { c.Hash = "1a2b3d" },
		"hash left out":       func(c *Current) { c.Hash = "" },
		"sha256":              func(c *Current) { c.SHA256 = strings.Repeat("ac", 32) },
		"sha256 left out":     func(c *Current) { c.SHA256 = "" },
		"published_at":        func(c *Current) { c.PublishedAt = c.PublishedAt.Add(time.Second) },
		"published_at gone":   func(c *Current) { c.PublishedAt = time.Time{} },
		"pre_commands":        func(c *Current) { c.PreCommands = []string{"eval Shop.migrate()", "eval Shop.drop()"} },
		"pre_commands swaped": func(c *Current) { c.PreCommands = []string{c.PreCommands[1], c.PreCommands[0]} },
		"pre_commands fewer":  func(c *Current) { c.PreCommands = c.PreCommands[:1] },
		"pre_commands joined": func(c *Current) { c.PreCommands = []string{strings.Join(c.PreCommands, "\npre_command ")} },
		"signature": func(c *Current) {
			c.Signature = strings.Replace(c.Signature, "trusted comment: shop", "trusted comment: shep", 1)
		},
		"signature cut":       func(c *Current) { c.Signature = c.Signature[:len(c.Signature)/2] },
		"signature of others": func(c *Current) { c.Signature = signed(t, newKey(t), time.Now()).Signature },
		"no signature at all": func(c *Current) { c.Signature = "none" },
	} {
		cur := good
		change(&cur)
		var bad *SignatureError
		if err := trust.check("shop", "prod", cur); !errors.As(err, &bad) || !errors.Is(err, ErrSignature) {
			t.Errorf("%s changed: %v, want *SignatureError", name, err)
		}
	}
	for _, other := range [][2]string{{"store", "prod"}, {"shop", "staging"}, {"shop", ""}} {
		if err := trust.check(other[0], other[1], good); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "another app or account") {
			t.Errorf("as the current.json of %v: %v", other, err)
		}
	}
	for key := range fields {
		if !strings.Contains("version hash sha256 published_at pre_commands signature", key) {
			t.Errorf("no case changes the key %q", key)
		}
	}
}

func TestTrust_Policies(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	good, late := signed(t, key, time.Now()), signed(t, key, time.Now().Add(2*time.Hour))
	plain := good
	plain.Signature = ""
	broken := good
	broken.Version = "6.6.6"
	for _, tt := range []struct {
		name  string
		trust *Trust
		cur   Current
		want  string // empty: accepted
	}{
		{"nothing is said", nil, broken, ""},
		{"off", trusting(VerifyOff, key), broken, ""},
		{"if present, without keys", trusting(VerifyIfPresent), broken, ""},
		{"if present, unsigned", trusting(VerifyIfPresent, key), plain, ""},
		{"if present, signed", trusting(VerifyIfPresent, key), good, ""},
		{"if present, broken", trusting(VerifyIfPresent, key), broken, "does not fit"},
		{"if present, another key", trusting(VerifyIfPresent, other), good, "signed with the key " + key.Public().ID() + ", which is none of release.public_keys (" + other.Public().ID() + ")"},
		{"if present, unread keys", &Trust{Unread: "no such file"}, good, "could be read: no such file"},
		{"required, unsigned", trusting(VerifyRequired, key), plain, "it is not signed, and release.verify is required"},
		{"required, signed", trusting(VerifyRequired, other, key), good, ""},
		{"required, without keys", trusting(VerifyRequired), good, "none of release.public_keys"},
		{"required, broken", trusting(VerifyRequired, key), broken, "does not fit"},
		{"of the future", trusting(VerifyRequired, key), late, "in the future"},
	} {
		err := tt.trust.check("shop", "prod", tt.cur)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestSource_RefusesWhatWasPutBack(t *testing.T) {
	t.Parallel()
	sh, key := newShelf(t), newKey(t)
	trust := trusting(VerifyIfPresent, key)
	var newest time.Time
	trust.Newest = func(string) (time.Time, error) { return newest, nil }
	source := Source{Bucket: sh.bucket, Account: "prod", Trust: func() *Trust { return trust }}
	old, last := signed(t, key, time.Now().Add(-time.Hour)), signed(t, key, time.Now())
	read := func(cur Current) error {
		writeCurrent(t, sh, string(cur.Encode()))
		got, err := source.Current(t.Context(), "shop")
		if err != nil && got.Version != "" {
			t.Errorf("a refused current.json is given: %+v", got)
		}
		return err
	}
	if err := read(old); err != nil {
		t.Fatal(err)
	}
	newest = last.PublishedAt
	if err := read(last); err != nil {
		t.Errorf("the last one again: %v", err)
	}
	if err := read(old); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "an older one was put back") || !strings.Contains(err.Error(), "beamkeeper rollback shop 1.2.0") {
		t.Errorf("an older one: %v", err)
	}
	old.Signature = ""
	if err := read(old); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "not signed, and the one before was") {
		t.Errorf("one without its signature: %v", err)
	}
	trust.Newest = nil
	if err := read(old); err != nil {
		t.Errorf("with downgrades allowed: %v", err)
	}
}

// The store checks again before it unpacks anything, and knows of a version by its name only what was signed.
func TestStore_FetchDemandsSignatures(t *testing.T) {
	t.Parallel()
	sh, key := newShelf(t), newKey(t)
	s := sh.open(t)
	trust := trusting(VerifyRequired, key)
	s.source.Account, s.source.Trust = "prod", func() *Trust { return trust }
	publish := func(version string, sign *PrivateKey) Current {
		p, err := Publish(t.Context(), PublishOptions{Bucket: sh.bucket, Account: "prod", App: "shop", Sign: sign, File: writeArchive(t, archiveOf(t, mixRelease("shop", version)...))})
		if err != nil {
			t.Fatal(err)
		}
		return p.Current
	}
	one, two := publish("1.0.0", &key), publish("2.0.0", nil)
	other := newKey(t)
	three := publish("3.0.0", &other)
	refused := func(cur Current, words string) {
		t.Helper()
		_, err := s.Fetch(context.Background(), "shop", cur)
		var e *Error
		if !errors.As(err, &e) || e.Op != "verify" || !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), words) {
			t.Errorf("Fetch(%+v): %v, want %q", cur, err, words)
		}
	}
	swapped := one
	swapped.SHA256 = two.SHA256
	refused(swapped, "does not fit")
	refused(Current{Version: "2.0.0"}, "is not signed")
	refused(three, "none of release.public_keys")
	refused(Current{Version: "3.0.0"}, "none of release.public_keys")
	if err := sh.bucket.Delete(t.Context(), DescriptionKey("shop", "prod", "2.0.0")); err != nil {
		t.Fatal(err)
	}
	refused(Current{Version: "2.0.0"}, "nothing says who made this version")
	if all, err := s.Releases("shop"); err != nil || len(all) > 0 {
		t.Errorf("unpacked all the same: %v, %v", all, err)
	}
	fetchOK(t, s, "shop", one)
	if err := s.discard(filepath.Join(s.dir, releasesDir, "shop")); err != nil {
		t.Fatal(err)
	}
	if r := fetchOK(t, s, "shop", Current{Version: "1.0.0"}); r.SHA256 != one.SHA256 {
		t.Errorf("by its version: %+v", r)
	}
	// By its name an archive that was swapped is not what was signed.
	if err := s.discard(filepath.Join(s.dir, releasesDir, "shop")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(sh.bucket.Location(ArchiveKey("shop", "2.0.0")))
	if err == nil {
		err = os.WriteFile(sh.bucket.Location(ArchiveKey("shop", "1.0.0")), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context(), "shop", Current{Version: "1.0.0"}); !errors.Is(err, ErrChecksum) {
		t.Errorf("a swapped archive: %v, want ErrChecksum", err)
	}
}

func TestPublish_RefusesToSignEarlierThanBefore(t *testing.T) {
	t.Parallel()
	sh, key := newShelf(t), newKey(t)
	o := PublishOptions{Bucket: sh.bucket, App: "shop", Sign: &key, File: writeArchive(t, archiveOf(t, mixRelease("shop", "1.2.0")...))}
	if _, err := Publish(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Time = func() time.Time { return time.Now().Add(-time.Minute) }
	if _, err := Publish(t.Context(), o); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("Publish: %v", err)
	}
}

func TestPrivateKey_Errors(t *testing.T) {
	t.Parallel()
	if _, err := ParsePrivateKey([]byte("untrusted comment: x\nAAAA\n"), ""); err == nil {
		t.Error("what is no key was taken")
	}
	for _, text := range []string{"", "RWQ", "untrusted comment: x\n"} {
		if k, err := ParsePublicKey(text, "here"); err == nil || !strings.Contains(err.Error(), "here: no public key") {
			t.Errorf("ParsePublicKey(%q) = %v, %v", text, k, err)
		}
	}
	key := newKey(t)
	if k, err := ParsePublicKey(string(key.Public().Text()), ""); err != nil || k.String() != key.Public().String() {
		t.Errorf("a public key read again: %v, %v", k, err)
	}
}

// runMinisign runs the program of that name.
func runMinisign(t *testing.T, dir, input string, args ...string) {
	t.Helper()
	program, err := exec.LookPath("minisign")
	if err != nil {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatal(err)
		}
		t.Skip("minisign is not installed")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("minisign %q: %v\n%s", args, err, out)
	}
}

// Keys and signatures are those of the program minisign, both ways.
func TestSignature_Minisign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := newKey(t)
	cur := signed(t, key, time.Now())
	statement, err := Statement("shop", "prod", cur)
	if err != nil {
		t.Fatal(err)
	}
	write("statement", statement)
	write("statement.minisig", []byte(cur.Signature))
	write("ours.pub", key.Public().Text())
	text, err := key.Text("")
	if err != nil {
		t.Fatal(err)
	}
	write("ours.key", text)
	runMinisign(t, dir, "", "-V", "-p", "ours.pub", "-m", "statement")

	runMinisign(t, dir, "", "-G", "-W", "-p", "theirs.pub", "-s", "theirs.key")
	for _, name := range []string{"ours", "theirs"} {
		for _, kind := range []string{"-S", "-Sl"} { // hashed first, and not
			runMinisign(t, dir, "", kind, "-s", name+".key", "-m", "statement", "-x", "again.minisig", "-t", "any comment")
			sig, err := os.ReadFile(filepath.Join(dir, "again.minisig"))
			if err != nil {
				t.Fatal(err)
			}
			pub, err := os.ReadFile(filepath.Join(dir, name+".pub"))
			if err != nil {
				t.Fatal(err)
			}
			k, err := ParsePublicKey(string(pub), name)
			if err != nil {
				t.Fatal(err)
			}
			cur.Signature = string(sig)
			if err := (&Trust{Policy: VerifyRequired, Keys: []PublicKey{k}}).check("shop", "prod", cur); err != nil {
				t.Errorf("signed with minisign %s and %s.key: %v", kind, name, err)
			}
		}
	}
	text, err = os.ReadFile(filepath.Join(dir, "theirs.key"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ParsePrivateKey(text, "")
	if err != nil {
		t.Fatal(err)
	}
	write("statement.minisig", []byte(signed(t, theirs, cur.PublishedAt).Signature))
	runMinisign(t, dir, "", "-V", "-p", "theirs.pub", "-m", "statement")
}
