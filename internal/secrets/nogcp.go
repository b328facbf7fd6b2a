//go:build nogcs

package secrets

import "errors"

func newGCP(StoreOptions) (Store, error) {
	return nil, errors.New("secrets: this program was built without Google's clouds (nogcs)")
}
