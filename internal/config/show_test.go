package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files and the reference tables anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (go test -update writes it anew):\n%s", file, got)
	}
}

// parseFile parses a file of testdata as if it lay in /etc/beamkeeper.
func parseFile(t *testing.T, name string) *Config {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, string(b))
}

func TestConfig_Show(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{"deployex.yaml": "deployex.show.yaml", "full.yaml": "full.show.yaml"} {
		golden(t, out, parseFile(t, in).Show())
	}
	golden(t, "defaults.show.yaml", mustParse(t, "").Show())
	golden(t, "full.show.json", parseFile(t, "full.yaml").ShowJSON())
}

func TestConfig_ShowTellsNoSecret(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"deployex.yaml", "full.yaml"} {
		c := parseFile(t, in)
		for _, shown := range []string{string(c.Show()), string(c.ShowJSON())} {
			for _, secret := range []string{"s3cr3t", "Zm9v", "hunter2", "not for your eyes", "0123456789abcdef", "cf-token", "etcdpw", "value: tok", `"tok"`, "token=abc"} {
				if strings.Contains(shown, secret) {
					t.Errorf("Show of %s tells %q", in, secret)
				}
			}
		}
	}
}

func TestConfig_ShowIsAcceptedAgain(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"deployex.yaml", "full.yaml"} {
		shown := parseFile(t, in).Show()
		again := mustParse(t, string(shown)).Show()
		if !bytes.Equal(shown, again) {
			t.Errorf("%s: shown again it is\n%s\nwant\n%s", in, again, shown)
		}
	}
}

func TestConfig_ShowJSONSaysTheSame(t *testing.T) {
	t.Parallel()
	c := parseFile(t, "full.yaml")
	b := c.ShowJSON()
	if !json.Valid(b) {
		t.Fatalf("not JSON: %s", b)
	}
	// JSON is YAML.
	if got := mustParse(t, string(b)).Show(); !bytes.Equal(got, c.Show()) {
		t.Errorf("the JSON read back:\n%s\nwant:\n%s", got, c.Show())
	}
}

func TestMaskText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                                "plain",
		"postgres://db/shop":                   "postgres://db/shop",
		"postgres://shop@db/shop":              "postgres://" + Mask + "@db/shop",
		"postgres://shop:pw@db/shop":           "postgres://shop:" + Mask + "@db/shop",
		"a=redis://:pw@r/0 b=amqp://u:p@q":     "a=redis://:" + Mask + "@r/0 b=amqp://u:" + Mask + "@q",
		"https://h/x?token=abc&page=2":         "https://h/x?token=" + Mask + "&page=2",
		"https://h/x?api-key=abc#f":            "https://h/x?api-key=" + Mask + "#f",
		"-----BEGIN EC PRIVATE KEY-----\nMHc=": Mask,
		"mail me@example.org":                  "mail me@example.org",
	} {
		if got := maskText(in); got != want {
			t.Errorf("maskText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSecretName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"SECRET_KEY_BASE": true, "SHOP_DB_PASSWORD": true, "PGPASSWORD": true, "GITHUB_TOKEN": true, "RELEASE_COOKIE": true,
		"AWS_SECRET_ACCESS_KEY": true, "AWS_ACCESS_KEY_ID": true, "STRIPE_APIKEY": true, "SENTRY_DSN": true, "SIGNING_SALT": true, "TLS_KEY": true,
		"PORT": false, "SHOP_SECRETS_ADAPTER": false, "SHOP_SECRETS_PATH": false, "TLS_KEY_FILE": false, "TOKEN_TTL": false,
		"PHX_HOST": false, "MONKEY": false, "KEYBOARD": false, "COMPASS": false,
	} {
		if got := secretName(name); got != want {
			t.Errorf("secretName(%q) = %t, want %t", name, got, want)
		}
	}
}
