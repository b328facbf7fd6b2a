//go:build nogcs

package main

import (
	"context"
	"errors"

	"github.com/beamkeeper/beamkeeper/release"
)

func openGCS(string, string, string) (release.Depot, error) {
	return nil, errors.New("this program was built without Google Cloud Storage (build tag nogcs); take the other one")
}

func identifyGCS(context.Context, release.Bucket) (string, bool, error) { return "", false, nil }
