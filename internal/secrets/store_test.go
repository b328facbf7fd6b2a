package secrets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const object = `{"DEPLOYEX_ERLANG_COOKIE": "cookie1", "BEAMKEEPER_SECRET_KEY_BASE": "base", "DEPLOYEX_SECRET_KEY_BASE": "other", "DEPLOYEX_ADMIN_HASHED_PASSWORD": "$2b$12$x", "PORT": 4000}`

// wantLoaded loads the daemon's secrets from a store that has object.
func wantLoaded(t *testing.T, adapter string, s Store) {
	t.Helper()
	got, err := Load(Options{Adapter: adapter, Store: s, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	if got.Cookie.Reveal() != "cookie1" || got.CookieFrom != EnvCookie || got.SecretKeyBase.Reveal() != "base" || got.AdminHashedPassword.Reveal() != "$2b$12$x" {
		t.Errorf("Load: %q from %q, %q, %q", got.Cookie.Reveal(), got.CookieFrom, got.SecretKeyBase.Reveal(), got.AdminHashedPassword.Reveal())
	}
	all, err := s.Fetch(t.Context())
	if err != nil || all["PORT"].Reveal() != "4000" {
		t.Errorf("Fetch: %v, %v", all, err)
	}
}

func TestStore_Files(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(file, []byte(object), 0o400); err != nil {
		t.Fatal(err)
	}
	s, err := Open(StoreOptions{Adapter: "file", Path: file})
	if err != nil {
		t.Fatal(err)
	}
	wantLoaded(t, "file", s)

	dir := t.TempDir()
	for name, text := range map[string]string{"A": "one\n", "B": "two lines\nof it\r\n", ".hidden": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = Open(StoreOptions{Adapter: "file", Path: dir}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Fetch(t.Context())
	if err != nil || len(all) != 2 || all["A"].Reveal() != "one" || all["B"].Reveal() != "two lines\nof it" {
		t.Errorf("of a folder: %v, %v", all, err)
	}
	if err := os.Chmod(filepath.Join(dir, "A"), 0o644); err != nil {
		t.Fatal(err)
	}
	var mode *ModeError
	if _, err := s.Fetch(t.Context()); !errors.As(err, &mode) {
		t.Errorf("of a file that others may read: %v", err)
	}
	// The service manager's win, and are the service's alone whatever their mode.
	if s, err = Open(StoreOptions{Adapter: "env", Environ: []string{"A=env", "C=env"}, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if all, err = s.Fetch(t.Context()); err != nil || all["A"].Reveal() != "one" || all["C"].Reveal() != "env" {
		t.Errorf("with credentials: %v, %v", all, err)
	}
	if s, err = Open(StoreOptions{}); s != nil || err != nil {
		t.Errorf("of nothing: %v, %v", s, err)
	}
}

func TestParseObject_RepeatsNoSecret(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`hunter2`, `"hunter2"`, `{"a": "hunter2"`, `{"a": ["hunter2"]}`, `{"a": {"b": "hunter2"}}`, `{"a": null}`, `["hunter2"]`} {
		all, err := parseObject("here", []byte(text))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("parseObject(%s) = %v, %v", text, all, err)
		}
	}
}

func TestEither_OurNameWins(t *testing.T) {
	t.Parallel()
	vars := map[string]string{EnvCookie: "theirs", "BEAMKEEPER_ERLANG_COOKIE": "ours"}
	s, err := Load(Options{Adapter: "env", Getenv: func(k string) string { return vars[k] }})
	if err != nil || s.Cookie.Reveal() != "ours" || s.CookieFrom != "BEAMKEEPER_ERLANG_COOKIE" {
		t.Errorf("Load: %q from %q, %v", s.Cookie.Reveal(), s.CookieFrom, err)
	}
	var missing *MissingError
	if _, err := Load(Options{Adapter: "file", Store: environment{}}); !errors.As(err, &missing) || !strings.Contains(err.Error(), "neither DEPLOYEX_ERLANG_COOKIE nor BEAMKEEPER_ERLANG_COOKIE") {
		t.Errorf("Load of nothing: %v", err)
	}
}

// secretsManager answers as AWS does to whoever signs as access with secret, and to nobody else.
type secretsManager struct {
	access, secret string
	trouble        atomic.Pointer[string] // an error code instead of an answer
}

func (m *secretsManager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fail := func(status int, code, message string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type": %q, "message": %q}`, code, message)
	}
	if err != nil || !m.signed(r, body) {
		fail(http.StatusBadRequest, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
		return
	}
	if code := m.trouble.Load(); code != nil {
		fail(http.StatusBadRequest, *code, "so it is")
		return
	}
	var in struct {
		SecretID string `json:"SecretId"`
	}
	if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || json.Unmarshal(body, &in) != nil || in.SecretID != "deployex-shop-prod-secrets" {
		fail(http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	fmt.Fprintf(w, `{"Name": %q, "SecretString": %q}`, in.SecretID, object)
}

// signed signs the request once more, as its Authorization says it was, and compares.
func (m *secretsManager) signed(r *http.Request, body []byte) bool {
	sent := r.Header.Get("Authorization")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	scope, rest, ok := strings.Cut(strings.TrimPrefix(sent, "AWS4-HMAC-SHA256 Credential="+m.access+"/"), ", SignedHeaders=")
	parts := strings.Split(scope, "/")
	names, _, _ := strings.Cut(rest, ",")
	if err != nil || !ok || len(parts) != 4 || parts[2] != "secretsmanager" || time.Since(at).Abs() > 5*time.Minute {
		return false
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.String(), bytes.NewReader(body))
	if err != nil {
		return false
	}
	for _, name := range strings.Split(names, ";") {
		if v := r.Header.Get(name); v != "" {
			again.Header.Set(name, v)
		}
	}
	again.ContentLength = int64(len(body))
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: m.access, SecretAccessKey: m.secret}, again, hex.EncodeToString(sum[:]), parts[2], parts[1], at)
	return err == nil && again.Header.Get("Authorization") == sent
}

// The real SDK, against a server that checks signatures.
func TestStore_AWS(t *testing.T) {
	m := &secretsManager{access: "AKIATEST", secret: "topsecret"}
	server := httptest.NewServer(m)
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", m.access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", m.secret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	open := func(path string) Store {
		s, err := Open(StoreOptions{Adapter: "aws", Path: path, Region: "eu-central-1", Endpoint: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open("deployex-shop-prod-secrets")
	wantLoaded(t, "aws", s)
	for code, words := range map[string]string{"AccessDeniedException": "secretsmanager:GetSecretValue", "DecryptionFailure": "DecryptionFailure: so it is"} {
		m.trouble.Store(&code)
		var e *StoreError
		if _, err := s.Fetch(t.Context()); !errors.As(err, &e) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", code, err)
		}
	}
	m.trouble.Store(nil)
	if _, err := open("another").Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "look at secrets_path and aws_region") {
		t.Errorf("of another name: %v", err)
	}
	if _, err := open("").Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "names no secret") {
		t.Errorf("of no name: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if _, err := open("deployex-shop-prod-secrets").Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("with a wrong key: %v", err)
	}
}
