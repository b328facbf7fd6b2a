//go:build !nogcs

package secrets

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
)

const (
	gcpEndpoint = "https://secretmanager.googleapis.com"
	gcpScope    = "https://www.googleapis.com/auth/cloud-platform"
)

// gcpStore is one secret of GCP's Secret Manager, a JSON object, as DeployEx has it.
type gcpStore struct {
	o StoreOptions

	mu      sync.Mutex
	client  *http.Client // nil: not made yet
	project string
}

func newGCP(o StoreOptions) (Store, error) { return &gcpStore{o: o}, nil }

func (s *gcpStore) String() string { return "GCP Secret Manager, " + s.o.Path }

// connect finds credentials and the project. Another endpoint over plain HTTP gets no credentials.
func (s *gcpStore) connect(ctx context.Context) (*http.Client, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, s.project, nil
	}
	if u, err := url.Parse(s.o.Endpoint); err == nil && u.Scheme == "http" {
		s.client = &http.Client{}
		return s.client, "", nil
	}
	creds, err := s.credentials()
	if err != nil {
		return nil, "", err
	}
	client, err := httptransport.NewClient(&httptransport.Options{Credentials: creds})
	if err != nil {
		return nil, "", err
	}
	// Not knowing the project is an error only where it is needed.
	s.project, _ = creds.ProjectID(ctx)
	s.client = client
	return s.client, s.project, nil
}

func (s *gcpStore) credentials() (*auth.Credentials, error) {
	o := &credentials.DetectOptions{Scopes: []string{gcpScope}}
	if s.o.Credentials == "" {
		return credentials.DetectDefault(o)
	}
	content, err := os.ReadFile(s.o.Credentials)
	if err != nil {
		return nil, err
	}
	var file struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(content, &file); err != nil || file.Type == "" {
		return nil, fmt.Errorf("%s: not a file of Google's credentials: it has no \"type\"", s.o.Credentials)
	}
	return credentials.NewCredentialsFromJSON(file.Type, content, o)
}

// name is the full name of a version of the secret.
func (s *gcpStore) name(project string) (string, error) {
	name := strings.Trim(s.o.Path, "/")
	switch {
	case name == "":
		return "", errEmptyPath
	case !strings.HasPrefix(name, "projects/") && project == "":
		return "", errors.New("the project is not known: write secrets_path as projects/PROJECT/secrets/NAME")
	case !strings.HasPrefix(name, "projects/"):
		name = "projects/" + project + "/secrets/" + name
	}
	if !strings.Contains(name, "/versions/") {
		name += "/versions/latest"
	}
	return name, nil
}

// Fetch implements Store.
func (s *gcpStore) Fetch(ctx context.Context) (map[string]Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	fail := func(err error, remedy string) (map[string]Secret, error) {
		return nil, &StoreError{Store: s.String(), Reason: err.Error(), Remedy: remedy, Err: err}
	}
	client, project, err := s.connect(ctx)
	if err != nil {
		return fail(err, "")
	}
	name, err := s.name(project)
	if err != nil {
		return fail(err, "")
	}
	endpoint := s.o.Endpoint
	if endpoint == "" {
		endpoint = gcpEndpoint
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(endpoint, "/")+"/v1/"+name+":access", nil)
	if err != nil {
		return fail(err, "")
	}
	resp, err := client.Do(req)
	if err != nil {
		return fail(err, "")
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 2*maxStore))
	if err != nil {
		return fail(err, "")
	}
	if resp.StatusCode != http.StatusOK {
		return fail(gcpAnswer(resp.StatusCode, b), gcpRemedy(resp.StatusCode))
	}
	text, err := gcpPayload(b)
	if err != nil {
		return fail(err, "")
	}
	return parseObject(s.String(), text)
}

func gcpRemedy(status int) string {
	switch status {
	case http.StatusForbidden:
		return "grant roles/secretmanager.secretAccessor on it"
	case http.StatusNotFound:
		return "look at secrets_path"
	}
	return ""
}

// gcpAnswer is the message in an answer that is an error.
func gcpAnswer(status int, b []byte) error {
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &answer) == nil && answer.Error.Message != "" {
		return fmt.Errorf("%s: %.300s", answer.Error.Status, answer.Error.Message)
	}
	return errors.New(strconv.Itoa(status) + " " + http.StatusText(status))
}

// gcpPayload is the secret in an answer, whose checksum must be right where there is one.
func gcpPayload(b []byte) ([]byte, error) {
	var answer struct {
		Payload struct {
			Data string `json:"data"`
			Sum  string `json:"dataCrc32c"`
		} `json:"payload"`
	}
	if json.Unmarshal(b, &answer) != nil {
		return nil, errors.New("the answer is no JSON")
	}
	text, err := base64.StdEncoding.DecodeString(answer.Payload.Data)
	if err != nil {
		return nil, errors.New("the answer's payload is not base64")
	}
	if sum := answer.Payload.Sum; sum != "" && sum != strconv.FormatUint(uint64(crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))), 10) {
		return nil, errors.New("the answer was damaged on its way")
	}
	return text, nil
}
