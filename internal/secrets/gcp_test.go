//go:build !nogcs

package secrets

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestStore_GCP(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	status.Store(http.StatusOK)
	damaged := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := crc32.Checksum([]byte(object), crc32.MakeTable(crc32.Castagnoli))
		switch code := int(status.Load()); {
		case code != http.StatusOK:
			w.WriteHeader(code)
			fmt.Fprint(w, `{"error": {"code": 403, "message": "Permission denied on it", "status": "PERMISSION_DENIED"}}`)
		case r.Method != http.MethodGet || r.URL.Path != "/v1/projects/acme/secrets/shop/versions/latest:access":
			w.WriteHeader(http.StatusNotFound)
		default:
			if damaged {
				sum++
			}
			fmt.Fprintf(w, `{"name": "x", "payload": {"data": %q, "dataCrc32c": "%d"}}`, base64.StdEncoding.EncodeToString([]byte(object)), sum)
		}
	}))
	defer server.Close()
	open := func(path string) Store {
		s, err := Open(StoreOptions{Adapter: "gcp", Path: path, Endpoint: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open("projects/acme/secrets/shop")
	wantLoaded(t, "gcp", s)
	status.Store(http.StatusForbidden)
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "PERMISSION_DENIED: Permission denied on it (grant roles/secretmanager.secretAccessor") {
		t.Errorf("when denied: %v", err)
	}
	status.Store(http.StatusOK)
	if _, err := open("projects/acme/secrets/other").Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "404 Not Found (look at secrets_path)") {
		t.Errorf("of another name: %v", err)
	}
	if _, err := open("shop").Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "projects/PROJECT/secrets/NAME") {
		t.Errorf("without a project: %v", err)
	}
	damaged = true
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged: %v", err)
	}
	server.Close()
	var e *StoreError
	if _, err := s.Fetch(t.Context()); !errors.As(err, &e) {
		t.Errorf("out of reach: %v", err)
	}
}
