package s3

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	connectTimeout = 5 * time.Second
	// answerTimeout is for the head of an answer; how long its content may take is up to the reader.
	answerTimeout = 30 * time.Second
	idleTimeout   = 90 * time.Second
	maxAttempts   = 3
	maxBackoff    = 5 * time.Second
	// identityTimeout bounds the search for credentials and for the region: where the metadata service of EC2 does not
	// answer, the SDK would wait much longer.
	identityTimeout = 10 * time.Second
)

// Config says which bucket, and how it is reached. Empty fields are the SDK's to find.
type Config struct {
	Bucket    string // required
	Region    string // empty: AWS_REGION, the profile's, that of the EC2 instance; with an Endpoint: us-east-1
	Endpoint  string // URL of a server other than AWS's
	PathStyle bool   // the bucket's name in the path, not in the host name
	Profile   string // of the shared files; empty: AWS_PROFILE, else default
	RoleARN   string // a role to assume with the credentials found
}

// client makes the SDK's client when it is first needed.
type client struct {
	cfg Config

	mu   sync.Mutex
	api  *awss3.Client // nil: not made yet
	aws  aws.Config
	base aws.CredentialsProvider // what the default chain found; before a role is assumed
}

// get returns the client. Making it reads files and, at most, asks EC2 for its region.
func (c *client) get(ctx context.Context) (*awss3.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.api != nil {
		return c.api, nil
	}
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	loaded, err := config.LoadDefaultConfig(ctx, c.options()...)
	if err != nil {
		return nil, &credentialsError{err}
	}
	if loaded.Region == "" && c.cfg.Endpoint == "" {
		loaded.Region = instanceRegion(ctx, loaded)
	}
	if loaded.Region == "" {
		if c.cfg.Endpoint == "" {
			return nil, errNoRegion
		}
		loaded.Region = "us-east-1" // what servers that know no regions are signed for
	}
	c.base = loaded.Credentials
	if c.cfg.RoleARN != "" {
		assumed := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(loaded), c.cfg.RoleARN,
			func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "beamkeeper" })
		loaded.Credentials = aws.NewCredentialsCache(assumed, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = time.Minute })
	}
	if loaded.Credentials != nil {
		loaded.Credentials = marked{loaded.Credentials}
	}
	c.aws = loaded
	c.api = awss3.NewFromConfig(loaded, func(o *awss3.Options) {
		o.UsePathStyle = c.cfg.PathStyle
		if c.cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.cfg.Endpoint)
		}
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return c.api, nil
}

func (c *client) options() []func(*config.LoadOptions) error {
	all := []func(*config.LoadOptions) error{
		config.WithHTTPClient(newHTTPClient()),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff })
		}),
		// Stores other than AWS's know few of the newer checksums. Those that are there are looked at after a download.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		config.WithAppID("beamkeeper"),
	}
	if c.cfg.Region != "" {
		all = append(all, config.WithRegion(c.cfg.Region))
	}
	if c.cfg.Profile != "" {
		all = append(all, config.WithSharedConfigProfile(c.cfg.Profile))
	}
	return all
}

func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = connectTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout, t.IdleConnTimeout = answerTimeout, idleTimeout
			t.TLSHandshakeTimeout = answerTimeout / 2
			t.MaxIdleConnsPerHost = 4
			if t.TLSClientConfig == nil {
				t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			}
		})
}

// host is where requests go to, for people.
func (c *client) host() string {
	if c.cfg.Endpoint == "" {
		return "amazonaws.com"
	}
	if u, err := url.Parse(c.cfg.Endpoint); err == nil && u.Host != "" {
		return u.Host
	}
	return c.cfg.Endpoint
}

// location is s3://bucket/key, with the server where it is not AWS's.
func (c *client) location(key string) string {
	s := "s3://" + c.cfg.Bucket
	if key != "" {
		s += "/" + strings.TrimPrefix(key, "/")
	}
	if c.cfg.Endpoint != "" {
		s += fmt.Sprintf(" at %s", c.host())
	}
	return s
}
