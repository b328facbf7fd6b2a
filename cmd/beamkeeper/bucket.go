package main

import (
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/release/s3"
)

// openBucket opens the bucket of a configuration. Nothing is asked of it yet.
func openBucket(cfg *config.Config) (release.Depot, error) {
	switch cfg.ReleaseAdapter {
	case config.ReleaseS3:
		c := cfg.Release.S3
		return s3.New(s3.Config{
			Bucket: cfg.ReleaseBucket, Region: cfg.AWSRegion, Endpoint: c.Endpoint, PathStyle: c.PathStyle, Profile: c.Profile, RoleARN: c.RoleARN,
		})
	case config.ReleaseGCS:
		return openGCS(cfg.ReleaseBucket, cfg.GoogleCredentials, cfg.Release.GCS.Endpoint)
	}
	return release.NewLocalBucket(cfg.ReleaseBucket), nil
}
