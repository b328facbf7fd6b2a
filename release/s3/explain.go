package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/beamkeeper/beamkeeper/release"
)

// What a request needs, as the policies of AWS call it.
const (
	mayGet    = "s3:GetObject"
	mayPut    = "s3:PutObject"
	mayDelete = "s3:DeleteObject"
	mayList   = "s3:ListBucket"
)

// explain turns an error of the SDK into a *release.BucketError. The context's own errors stay what they are.
func (b *Bucket) explain(key, permission string, err error) error {
	var known *release.BucketError
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &release.BucketError{Location: b.client.location(key), Err: err}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		e.Request = response.ServiceRequestID()
	}
	var creds *credentialsError
	var answer smithy.APIError
	switch {
	case errors.Is(err, errNoRegion):
		e.Kind, e.Detail, e.Remedy = release.ErrWrongRegion, "none is set", "set aws_region to the region of the bucket"
	case errors.As(err, &answer):
		b.explainAnswer(e, key, permission, answer, response)
		if errors.As(err, &creds) {
			e.Detail = "asking for credentials: " + e.Detail
		}
	case errors.As(err, &creds):
		e.Kind, e.Detail, e.Remedy = release.ErrNoCredentials, credentialsText(creds), noCredentialsRemedy
	default:
		if n := release.NetworkError(e.Location, err); n != nil {
			return n
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		e.Kind, e.Detail = release.ErrServer, err.Error()
	}
	return e
}

const noCredentialsRemedy = "give the host a role (EC2, ECS, EKS), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the daemon's environment, or name a profile in release.s3.profile"

// credentialsText is the end of the SDK's long chain of reasons.
func credentialsText(err error) string {
	text := err.Error()
	for _, long := range []string{"no EC2 IMDS role found", "failed to get shared config profile", "failed to refresh cached credentials"} {
		if strings.Contains(text, long) {
			switch long {
			case "no EC2 IMDS role found":
				return "neither the environment, nor the shared files, nor the metadata of the machine has any"
			case "failed to get shared config profile":
				return text[strings.Index(text, long)+len("failed to get "):]
			}
		}
	}
	if i := strings.LastIndex(text, "failed to refresh cached credentials, "); i >= 0 {
		text = text[i+len("failed to refresh cached credentials, "):]
	}
	return text
}

// explainAnswer goes by the code of S3's or STS's answer, and by its status where there is no code (HEAD).
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func (b *Bucket) explainAnswer(e *release.BucketError, key, permission string, answer smithy.APIError, response *awshttp.ResponseError) {
	status, region := 0, ""
	if response != nil && response.Response != nil && response.Response.Response != nil {
		status, region = response.HTTPStatusCode(), response.Response.Header.Get("X-Amz-Bucket-Region")
	}
	code := answer.ErrorCode()
	e.Detail = answer.ErrorMessage()
	if e.Detail == "" {
		e.Detail = code
	}
	switch code {
	case "NoSuchKey", "NotFound":
		e.Kind, e.Detail = release.ErrNotFound, ""
	case "NoSuchBucket":
		e.Kind, e.Detail, e.Remedy = release.ErrNoBucket, "", "make it, or set release_bucket"
	case "NotModified":
		e.Kind, e.Detail = release.ErrUnchanged, ""
	case "PreconditionFailed", "ConditionalRequestConflict", "InvalidRange":
		e.Kind, e.Detail = release.ErrChanging, "it was replaced meanwhile"
	case "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem":
		e.Kind, e.Remedy = release.ErrDenied, b.grant(key, permission)
		if code == "Forbidden" {
			e.Detail = ""
		}
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidSecurity":
		e.Kind, e.Remedy = release.ErrCredentials, "mend the access key; beamkeeper doctor source says where it comes from"
		if code == "InvalidToken" {
			e.Remedy = "the session token does not go with the access key, or is missing (AWS_SESSION_TOKEN)"
		}
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired":
		e.Kind, e.Remedy = release.ErrExpired, "renew them (aws sso login, or new ones in the environment and a restart of the daemon); a role of the machine renews itself"
	case "RequestTimeTooSkewed", "RequestInTheFuture":
		e.Kind, e.Remedy = release.ErrClockSkew, "set this host's clock (timedatectl set-ntp true)"
	case "PermanentRedirect", "TemporaryRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "AuthorizationQueryParametersError":
		b.wrongRegion(e, region)
	case "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "TooManyRequestsException":
		e.Kind, e.Remedy = release.ErrThrottled, "it is asked less often by itself; poll less often if this lasts"
	default:
		explainStatus(b, e, status, region, key, permission)
	}
}

func explainStatus(b *Bucket, e *release.BucketError, status int, region, key, permission string) {
	switch {
	case status == http.StatusNotFound:
		e.Kind, e.Detail = release.ErrNotFound, ""
	case status == http.StatusNotModified:
		e.Kind, e.Detail = release.ErrUnchanged, ""
	case status == http.StatusPreconditionFailed, status == http.StatusConflict, status == http.StatusRequestedRangeNotSatisfiable:
		e.Kind, e.Detail = release.ErrChanging, "it was replaced meanwhile"
	case status == http.StatusForbidden:
		e.Kind, e.Remedy = release.ErrDenied, b.grant(key, permission)
	case status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect, status == http.StatusBadRequest && region != "":
		b.wrongRegion(e, region)
	case status == http.StatusTooManyRequests:
		e.Kind = release.ErrThrottled
	case status >= 500:
		e.Kind = release.ErrServer
		if e.Detail == "" || e.Detail == "UnknownError" {
			e.Detail = http.StatusText(status)
		}
	default:
		e.Kind = release.ErrServer
	}
}

// expected is how the text of AuthorizationHeaderMalformed ends.
var expected = regexp.MustCompile(`expecting ['"]([a-z0-9-]+)['"]`)

func (b *Bucket) wrongRegion(e *release.BucketError, region string) {
	e.Kind = release.ErrWrongRegion
	if region == "" {
		if m := expected.FindStringSubmatch(e.Detail); m != nil {
			region = m[1]
		}
	}
	used := b.client.aws.Region
	if region == "" {
		e.Detail, e.Remedy = fmt.Sprintf("the bucket is not in %s", used), "set aws_region to the region of the bucket"
		return
	}
	e.Detail, e.Remedy = fmt.Sprintf("the bucket is in %s, and %s was asked", region, used), "set aws_region: "+region
}

// grant says what the identity needs.
func (b *Bucket) grant(key, permission string) string {
	if permission == "" {
		return ""
	}
	resource := "arn:aws:s3:::" + b.client.cfg.Bucket
	if permission != mayList {
		resource += "/" + key
	}
	s := fmt.Sprintf("grant %s on %s", permission, resource)
	if permission == mayGet {
		s += fmt.Sprintf("; without %s on the bucket, S3 says this of a key that does not exist, too", mayList)
	}
	return s
}
