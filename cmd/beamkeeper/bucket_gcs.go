//go:build !nogcs

package main

import (
	"context"

	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/release/gcs"
)

// openGCS opens a bucket in Google Cloud Storage.
func openGCS(name, credentials, endpoint string) (release.Depot, error) {
	return gcs.New(gcs.Config{Bucket: name, CredentialsFile: credentials, Endpoint: endpoint})
}

// identifyGCS says who the requests to a bucket of openGCS are made as; false: it is none of those.
func identifyGCS(ctx context.Context, b release.Bucket) (who string, is bool, err error) {
	bucket, ok := b.(*gcs.Bucket)
	if !ok {
		return "", false, nil
	}
	id, err := bucket.Identity(ctx)
	if id.Email != "" {
		return id.Email + " (" + id.Source + ")", true, err
	}
	return id.Source, true, err
}
