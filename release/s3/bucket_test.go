package s3

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
)

func open(t testing.TB, s *emulator.S3, change func(*Config)) *Bucket {
	t.Helper()
	cfg := Config{Bucket: emulator.Bucket, Region: emulator.Region, Endpoint: s.URL, PathStyle: true}
	if change != nil {
		change(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// owner has requests signed by the bucket's owner, and keeps the SDK from looking for anything elsewhere.
func owner(t *testing.T, s *emulator.S3) {
	t.Setenv("AWS_ACCESS_KEY_ID", s.Access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.Secret)
}

func TestBucket_IsADepot(t *testing.T) {
	s := emulator.StartS3(t)
	owner(t, s)
	emulator.TestDepot(t, open(t, s, nil))
}
