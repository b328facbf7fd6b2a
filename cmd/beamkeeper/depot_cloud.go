package main

import (
	"os"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/release/s3"
)

// cloudDepot opens the bucket of an address s3://NAME or gs://NAME, without a configuration: what is not in it is the
// SDKs' to find. An endpoint for the SDK of AWS is most likely one that wants the bucket in the path.
func cloudDepot(address string) (release.Depot, error) {
	scheme, name, _ := strings.Cut(strings.TrimRight(address, "/"), "://")
	if scheme == "gs" {
		return openGCS(name, "", "")
	}
	endpoint := os.Getenv("AWS_ENDPOINT_URL_S3")
	if endpoint == "" {
		endpoint = os.Getenv("AWS_ENDPOINT_URL")
	}
	return s3.New(s3.Config{Bucket: name, Endpoint: endpoint, PathStyle: endpoint != ""})
}

// configuredDepot opens the bucket of a configuration.
func configuredDepot(cfg *config.Config) (release.Depot, error) { return openBucket(cfg) }
