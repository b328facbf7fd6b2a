package config

import (
	"net/url"
	"regexp"
	"strings"
)

// bucketName is what both S3 and Google Cloud Storage take, as wide as either does.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]$`)

// checkBucket checks a bucket in a cloud.
func (p *parser) checkBucket(c *Config) {
	if c.ReleaseAdapter == ReleaseLocal {
		return
	}
	switch name := c.ReleaseBucket; {
	case name == "":
		p.at(KindMissing, "release_adapter", "name the bucket", "release_bucket is missing: %s needs one", c.ReleaseAdapter)
	case strings.Contains(name, "://"):
		_, rest, _ := strings.Cut(name, "://")
		p.at(KindValue, "release_bucket", "write "+strings.TrimRight(rest, "/"), "%q: the name alone, without s3:// or gs://", name)
	case !bucketName.MatchString(name):
		p.at(KindValue, "release_bucket", "", "%q is not the name of a bucket", name)
	}
	p.checkEndpoint("release.s3.endpoint", c.Release.S3.Endpoint)
	p.checkEndpoint("release.gcs.endpoint", c.Release.GCS.Endpoint)
}

// checkEndpoint checks the URL of a server.
func (p *parser) checkEndpoint(where, s string) {
	if s == "" {
		return
	}
	p.checkURL(where, s, "http", "https")
	if u, err := url.Parse(s); err == nil && (u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/") {
		p.at(KindValue, where, "such as https://minio.example.org:9000", "has more than a scheme, a host and a port")
	}
}
