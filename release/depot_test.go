package release_test

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
	"github.com/beamkeeper/beamkeeper/release"
)

func TestLocalBucket_IsADepot(t *testing.T) {
	t.Parallel()
	emulator.TestDepot(t, release.NewLocalBucket(t.TempDir()))
}
