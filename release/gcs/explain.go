//go:build !nogcs

package gcs

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"

	"github.com/beamkeeper/beamkeeper/release"
)

// What a request needs, as IAM calls it.
const (
	mayGet    = "storage.objects.get"
	mayPut    = "storage.objects.create"
	mayDelete = "storage.objects.delete"
	mayList   = "storage.objects.list"
)

// explain turns an error of the client library into a *release.BucketError. The context's own errors stay what they are.
func (b *Bucket) explain(key, permission string, err error) error {
	var known *release.BucketError
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &release.BucketError{Location: b.client.location(key), Err: err}
	var creds *credentialsError
	var token *auth.Error
	var answer *googleapi.Error
	switch {
	case errors.As(err, &token):
		explainToken(e, token)
	case errors.As(err, &creds):
		e.Kind, e.Detail = release.ErrNoCredentials, "neither google_credentials, nor GOOGLE_APPLICATION_CREDENTIALS, nor the metadata of the machine has any"
		if b.client.cfg.CredentialsFile != "" {
			e.Detail = creds.Error()
		}
		e.Remedy = "give the machine a service account, or name a file of credentials in google_credentials"
	case errors.Is(err, storage.ErrBucketNotExist):
		e.Kind, e.Remedy = release.ErrNoBucket, "make it, or set release_bucket"
	case errors.Is(err, storage.ErrObjectNotExist):
		e.Kind = release.ErrNotFound
	case errors.As(err, &answer):
		b.explainAnswer(e, permission, answer)
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

// explainToken goes by what the token server said.
//
// Source: https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
func explainToken(e *release.BucketError, err *auth.Error) {
	text := err.Error()
	e.Detail = strings.TrimPrefix(text, "auth: ")
	switch {
	case strings.Contains(text, "reasonable timeframe"), strings.Contains(text, "iat and exp"):
		e.Kind, e.Remedy = release.ErrClockSkew, "set this host's clock (timedatectl set-ntp true)"
	case strings.Contains(text, "expired"), strings.Contains(text, "revoked"):
		e.Kind, e.Remedy = release.ErrExpired, "renew them (gcloud auth application-default login)"
	case strings.Contains(text, "invalid_grant"), strings.Contains(text, "invalid_client"), strings.Contains(text, "unauthorized_client"):
		e.Kind, e.Remedy = release.ErrCredentials, "the key may have been deleted, or the account disabled; make a new key, or give the machine a service account"
	case err.Response != nil && err.Response.StatusCode >= 500:
		e.Kind = release.ErrServer
	default:
		e.Kind = release.ErrCredentials
	}
}

func (b *Bucket) explainAnswer(e *release.BucketError, permission string, err *googleapi.Error) {
	e.Detail = answerText(err)
	e.Request = err.Header.Get("X-Guploader-Uploadid")
	switch {
	case err.Code == http.StatusNotFound && strings.Contains(e.Detail, "bucket does not exist"):
		e.Kind, e.Detail, e.Remedy = release.ErrNoBucket, "", "make it, or set release_bucket"
	case err.Code == http.StatusNotFound:
		e.Kind, e.Detail = release.ErrNotFound, ""
	case err.Code == http.StatusNotModified:
		e.Kind, e.Detail = release.ErrUnchanged, ""
	case err.Code == http.StatusPreconditionFailed, err.Code == http.StatusRequestedRangeNotSatisfiable:
		e.Kind, e.Detail = release.ErrChanging, "it was replaced meanwhile"
	case err.Code == http.StatusUnauthorized:
		e.Kind, e.Remedy = release.ErrCredentials, "beamkeeper doctor source says which were used"
		if strings.Contains(strings.ToLower(e.Detail), "expired") {
			e.Kind = release.ErrExpired
		}
	case err.Code == http.StatusForbidden:
		e.Kind = release.ErrDenied
		if permission != "" {
			e.Remedy = fmt.Sprintf("grant %s on the bucket %s (%s)", permission, b.client.cfg.Bucket, roleOf[permission])
			if permission == mayGet {
				e.Remedy += fmt.Sprintf("; without %s, it is said of an object that does not exist, too", mayList)
			}
		}
	case err.Code == http.StatusTooManyRequests:
		e.Kind, e.Remedy = release.ErrThrottled, "it is asked less often by itself; poll less often if this lasts"
	default:
		e.Kind = release.ErrServer
		if e.Detail == "" {
			e.Detail = http.StatusText(err.Code)
		}
	}
}

// roleOf is the smallest predefined role that has a permission.
var roleOf = map[string]string{
	mayGet:    "roles/storage.objectViewer",
	mayList:   "roles/storage.objectViewer",
	mayPut:    "roles/storage.objectCreator",
	mayDelete: "roles/storage.objectUser",
}

// answerText is what the answer says in its JSON, or in its XML.
func answerText(err *googleapi.Error) string {
	if err.Message != "" {
		return err.Message
	}
	var answer struct {
		Message string
		Details string
	}
	if xml.Unmarshal([]byte(err.Body), &answer) != nil {
		return ""
	}
	if answer.Details != "" {
		return answer.Details
	}
	return answer.Message
}
