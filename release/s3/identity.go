package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

var errNoRegion = errors.New("no region is set")

// credentialsError says that there are no credentials to sign with.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// marked is a source of credentials whose errors can be told from those of the request itself.
type marked struct{ aws.CredentialsProvider }

func (m marked) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	v, err := m.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return v, &credentialsError{err}
	}
	return v, nil
}

// instanceRegion asks the metadata service of EC2; empty when it does not answer.
func instanceRegion(ctx context.Context, cfg aws.Config) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := imds.NewFromConfig(cfg).GetRegion(ctx, &imds.GetRegionInput{})
	if err != nil {
		return ""
	}
	return out.Region
}

// Identity is who the requests are made as.
type Identity struct {
	Source    string    // where the credentials came from, in the SDK's words: EnvConfigCredentials, SharedConfigCredentials, …
	Role      string    // the role that is assumed with them; empty: none
	ARN       string    // as STS knows it; empty: STS was not asked, or did not answer
	Account   string    // likewise
	ExpiresAt time.Time // zero: never
	Region    string
	STSError  string // why ARN is not known
}

// Identity finds credentials, and asks STS whose they are. A server other than AWS's has no STS, and is not asked.
//
// Errors: *release.BucketError with ErrNoCredentials, ErrExpired, ErrDenied.
func (b *Bucket) Identity(ctx context.Context) (Identity, error) {
	if _, err := b.client.get(ctx); err != nil {
		return Identity{}, b.explain("", "", err)
	}
	id := Identity{Role: b.client.cfg.RoleARN, Region: b.client.aws.Region}
	base, err := b.client.base.Retrieve(ctx)
	if err != nil {
		return id, b.explain("", "", &credentialsError{err})
	}
	id.Source = base.Source
	used, err := b.client.aws.Credentials.Retrieve(ctx)
	if err != nil {
		return id, b.explain("", "", err)
	}
	if used.CanExpire {
		id.ExpiresAt = used.Expires
	}
	if b.client.cfg.Endpoint != "" && b.client.cfg.RoleARN == "" {
		return id, nil
	}
	who, err := sts.NewFromConfig(b.client.aws).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		id.STSError = fmt.Sprint(b.explain("", "", err))
		return id, nil
	}
	id.ARN, id.Account = aws.ToString(who.Arn), aws.ToString(who.Account)
	return id, nil
}
