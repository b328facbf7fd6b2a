package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// EnvCredentials names the folder in which systemd puts the credentials of a service (LoadCredential=).
const EnvCredentials = "CREDENTIALS_DIRECTORY"

// Names of the credentials.
const CredentialCookie = "cookie" // the node's; that of an app has a dot and the app's name behind it

// CookieCredential reads a cookie that the service manager has passed. ok is false when it has passed none of that name;
// dir is that of EnvCredentials, "" for none.
//
// The folder is the service's alone, whatever the mode of a file in it says: an access list counts as the group's rights.
//
// Errors: *CookieError, or that of the file system.
func CookieCredential(dir, name string) (s Secret, file string, ok bool, err error) {
	if dir == "" {
		return Secret{}, "", false, nil
	}
	file = filepath.Join(dir, name)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Secret{}, "", false, nil
	}
	if err != nil {
		return Secret{}, file, false, fmt.Errorf("secrets: credential: %w", err)
	}
	defer f.Close()
	s, err = readCookie(f, file)
	return s, file, err == nil, err
}
