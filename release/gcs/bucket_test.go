//go:build !nogcs

package gcs

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
)

func open(t testing.TB, g *emulator.GCS) *Bucket {
	t.Helper()
	b, err := New(Config{Bucket: emulator.Bucket, Endpoint: g.URL})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucket_IsADepot(t *testing.T) {
	emulator.TestDepot(t, open(t, emulator.StartGCS(t)))
}
