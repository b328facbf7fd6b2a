package s3

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/release"
)

// TestMain has requests signed by the bucket's owner, unless a profile says otherwise, and keeps the SDK from looking for
// anything elsewhere.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "aws-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	credentials := filepath.Join(dir, "credentials")
	text := "[stranger]\naws_access_key_id = AKIASTRANGER00000000\naws_secret_access_key = stranger-secret\n" +
		"[wrong]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wrong\n" +
		"[unknown]\naws_access_key_id = AKIANOBODYKNOWSTHIS0\naws_secret_access_key = whatever\n"
	if err := os.WriteFile(credentials, []byte(text), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret/of-anything",
		"AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		os.Setenv(key, value)
	}
	for _, key := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Unsetenv(key)
	}
	stop := nameServer()
	code := m.Run()
	stop()
	os.RemoveAll(dir)
	os.Exit(code)
}

func open(t testing.TB, s *emulator.S3, change func(*Config)) *Bucket {
	t.Helper()
	return openAt(t, s.URL, change)
}

func openAt(t testing.TB, endpoint string, change func(*Config)) *Bucket {
	t.Helper()
	cfg := Config{Bucket: emulator.Bucket, Region: emulator.Region, Endpoint: endpoint, PathStyle: true}
	if change != nil {
		change(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucket_IsADepot(t *testing.T) {
	t.Parallel()
	emulator.TestDepot(t, open(t, emulator.StartS3(t), nil))
}

func TestBucket_Fetch(t *testing.T) {
	t.Parallel()
	s := emulator.StartS3(t)
	emulator.TestFetch(t, s.Proxy, open(t, s, nil), sampletest.Build(t, "erlang", "0.1.0"))
}

func TestBucket_TellsTheStoresChecksum(t *testing.T) {
	t.Parallel()
	b := open(t, emulator.StartS3(t), nil)
	api, err := b.client.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: aws.String(emulator.Bucket), Key: aws.String("x"), Body: strings.NewReader("123456789"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := b.Open(t.Context(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	o.Body.Close()
	info, err := b.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	// The check value of the CRC catalogue.
	for _, list := range [][]release.Checksum{o.Checksums, info.Checksums} {
		if len(list) != 1 || list[0].Algorithm != "crc32" || string(list[0].Sum) != "\xcb\xf4\x39\x26" {
			t.Errorf("checksums %+v", list)
		}
	}
}

func TestNew_RefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {Bucket: "a/b"}, {Bucket: "a", Endpoint: "minio:9000"}, {Bucket: "a", Endpoint: "ftp://h"}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New(%+v) takes it", cfg)
		}
	}
}
