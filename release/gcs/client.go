//go:build !nogcs

package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/compute/metadata"
	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
)

const (
	scope       = "https://www.googleapis.com/auth/devstorage.read_write"
	maxAttempts = 3
	// identityTimeout bounds the questions to the metadata service.
	identityTimeout = 10 * time.Second
)

// Config says which bucket, and how it is reached.
type Config struct {
	Bucket          string // required
	CredentialsFile string // empty: Application Default Credentials
	// Endpoint is the URL of another server than Google's. One that begins with http:// gets no credentials: tokens
	// do not go over the wire in the clear. Emulators want it so.
	Endpoint string
}

// client makes the library's client when it is first needed.
type client struct {
	cfg Config

	mu    sync.Mutex
	api   *storage.Client   // nil: not made yet
	creds *auth.Credentials // nil: none are used
}

// credentialsError says that there is nothing to prove who we are with.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// get returns the client. Making it reads files, and may ask whether this is a machine of Google's.
func (c *client) get(ctx context.Context) (*storage.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.api != nil {
		return c.api, nil
	}
	options := []option.ClientOption{storage.WithDisabledClientMetrics(), option.WithUserAgent("beamkeeper"), storage.WithXMLReads()}
	if c.cfg.Endpoint != "" {
		options = append(options, option.WithEndpoint(strings.TrimSuffix(c.cfg.Endpoint, "/")+"/storage/v1/"))
	}
	if c.open() {
		options = append(options, option.WithoutAuthentication())
	} else {
		creds, err := c.findCredentials()
		if err != nil {
			return nil, &credentialsError{err}
		}
		c.creds = creds
		options = append(options, option.WithAuthCredentials(creds))
	}
	// The client lives as long as the daemon, whatever becomes of this request.
	api, err := storage.NewClient(context.WithoutCancel(ctx), options...)
	if err != nil {
		return nil, err
	}
	api.SetRetry(storage.WithMaxAttempts(maxAttempts), storage.WithBackoff(gax.Backoff{Initial: 200 * time.Millisecond, Max: 5 * time.Second}),
		storage.WithErrorFunc(storage.ShouldRetry))
	c.api = api
	return api, nil
}

func (c *client) findCredentials() (*auth.Credentials, error) {
	o := &credentials.DetectOptions{Scopes: []string{scope}}
	if c.cfg.CredentialsFile == "" {
		return credentials.DetectDefault(o)
	}
	content, err := os.ReadFile(c.cfg.CredentialsFile)
	if err != nil {
		return nil, err
	}
	var file struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(content, &file); err != nil || file.Type == "" {
		return nil, fmt.Errorf("%s: not a file of Google's credentials: it has no \"type\"", c.cfg.CredentialsFile)
	}
	// The operator named the file; whatever kind it is, it is meant.
	return credentials.NewCredentialsFromJSON(file.Type, content, o)
}

// open says whether requests go without credentials.
func (c *client) open() bool {
	u, err := url.Parse(c.cfg.Endpoint)
	return err == nil && u.Scheme == "http" || c.cfg.Endpoint == "" && os.Getenv("STORAGE_EMULATOR_HOST") != ""
}

func (c *client) location(key string) string {
	s := "gs://" + c.cfg.Bucket
	if key != "" {
		s += "/" + key
	}
	if u, err := url.Parse(c.cfg.Endpoint); err == nil && u.Host != "" {
		s += " at " + u.Host
	}
	return s
}

// Identity is who the requests are made as.
type Identity struct {
	Source string // service_account, authorized_user, external_account, metadata server, none
	Email  string // empty: not known
}

// Identity finds credentials and whose they are.
//
// Errors: *release.BucketError with ErrNoCredentials, ErrCredentials.
func (b *Bucket) Identity(ctx context.Context) (Identity, error) {
	if _, err := b.client.get(ctx); err != nil {
		return Identity{}, b.explain("", "", err)
	}
	creds := b.client.creds
	if creds == nil {
		return Identity{Source: "none: the endpoint is plain http"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	var id Identity
	if file := creds.JSON(); len(file) > 0 {
		var known struct {
			Type        string `json:"type"`
			Email       string `json:"client_email"`
			Impersonate string `json:"service_account_impersonation_url"`
		}
		if err := json.Unmarshal(file, &known); err == nil {
			id.Source, id.Email = known.Type, known.Email
			if i := strings.LastIndex(known.Impersonate, "/"); i >= 0 && id.Email == "" {
				id.Email = strings.TrimSuffix(known.Impersonate[i+1:], ":generateAccessToken")
			}
		}
	} else {
		id.Source = "metadata server"
		if email, err := metadata.EmailWithContext(ctx, "default"); err == nil {
			id.Email = email
		}
	}
	if _, err := creds.Token(ctx); err != nil {
		var known *auth.Error
		if !errors.As(err, &known) {
			err = &credentialsError{err}
		}
		return id, b.explain("", "", err)
	}
	return id, nil
}
