//go:build !nogcs

package gcs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/release"
)

const key = "versions/shop/prod/current.json"

func openAt(t testing.TB, change func(*Config)) *Bucket {
	t.Helper()
	cfg := Config{Bucket: emulator.Bucket}
	change(&cfg)
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// get asks as the watcher does.
func get(t testing.TB, b *Bucket) error {
	o, err := b.OpenChanged(t.Context(), key, "")
	if err == nil {
		o.Body.Close()
	}
	return err
}

func TestBucket_Fetch(t *testing.T) {
	t.Parallel()
	g := emulator.StartGCS(t)
	emulator.TestFetch(t, g.Proxy, open(t, g), sampletest.Build(t, "erlang", "0.1.0"))
}

func TestErrors_OfARealServer(t *testing.T) {
	t.Parallel()
	g := emulator.StartGCS(t)
	emulator.Problem(t, get(t, open(t, g)), release.ErrNotFound, "gs://releases/"+key)
	other := openAt(t, func(c *Config) { c.Bucket, c.Endpoint = "other-releases", g.URL })
	if err := other.Put(t.Context(), key, strings.NewReader("x"), 1); err == nil {
		t.Error("a bucket that does not exist takes objects")
	}
}

func TestErrors_OfTheStore(t *testing.T) {
	t.Parallel()
	const denied = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Message>Access denied.</Message>" +
		"<Details>host@shop.iam.gserviceaccount.com does not have storage.objects.get access.</Details></Error>"
	for _, tt := range []struct {
		name   string
		status int
		body   string
		kind   error
		words  []string
	}{
		{"denied", 403, denied, release.ErrDenied, []string{"host@shop.iam", "grant storage.objects.get on the bucket releases (roles/storage.objectViewer)"}},
		{"bad token", 401, "<Error><Code>InvalidCredential</Code><Message>Invalid Credentials</Message></Error>", release.ErrCredentials, []string{"doctor source"}},
		{"expired", 401, "<Error><Message>Token expired</Message></Error>", release.ErrExpired, nil},
		{"throttled", 429, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", release.ErrThrottled, []string{"request rate"}},
		{"internal", 503, "", release.ErrServer, []string{"Service Unavailable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				emulator.Answer(tt.status, nil, tt.body)(w, r, nil)
			}))
			t.Cleanup(srv.Close)
			b := openAt(t, func(c *Config) { c.Endpoint = srv.URL })
			err := get(t, b)
			emulator.Problem(t, err, tt.kind, tt.words...)
			if again := get(t, b); fmt.Sprint(again) != fmt.Sprint(err) {
				t.Errorf("another text the second time: %v, then %v", err, again)
			}
		})
	}
}

// serviceAccount writes a file of credentials whose tokens come from a server that answers so.
func serviceAccount(t *testing.T, status int, answer string) string {
	t.Helper()
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(tokens.Close)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "host@shop.iam.gserviceaccount.com", "private_key_id": "1", "project_id": "shop",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokens.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestErrors_OfCredentials(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "none.json")
	nonsense := filepath.Join(t.TempDir(), "nonsense.json")
	if err := os.WriteFile(nonsense, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file string
		kind       error
		words      []string
	}{
		{"no file", missing, release.ErrNoCredentials, []string{"none.json"}},
		{"no credentials in it", nonsense, release.ErrNoCredentials, []string{"nonsense.json"}},
		{"clock skew", serviceAccount(t, 400, `{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}`), release.ErrClockSkew, []string{"timedatectl"}},
		{"deleted key", serviceAccount(t, 400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`), release.ErrCredentials, []string{"Invalid JWT Signature", "key"}},
		{"revoked", serviceAccount(t, 400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`), release.ErrExpired, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Plain http would go without credentials.
			b := openAt(t, func(c *Config) { c.CredentialsFile, c.Endpoint = tt.file, "https://127.0.0.1:1" })
			emulator.Problem(t, get(t, b), tt.kind, tt.words...)
			_, err := b.Identity(t.Context())
			emulator.Problem(t, err, tt.kind)
		})
	}
}

func TestErrors_OfTheNetwork(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	account := serviceAccount(t, 200, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`)
	b := openAt(t, func(c *Config) { c.CredentialsFile, c.Endpoint = account, secure.URL })
	emulator.Problem(t, get(t, b), release.ErrTLS, "SSL_CERT_FILE")
	id, err := b.Identity(t.Context())
	if err != nil || id.Email != "host@shop.iam.gserviceaccount.com" || id.Source != "service_account" {
		t.Errorf("Identity: %+v, %v", id, err)
	}
	cutting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cutting.Close)
	emulator.Problem(t, get(t, openAt(t, func(c *Config) { c.Endpoint = cutting.URL })), release.ErrUnreachable, "cut off")
}
