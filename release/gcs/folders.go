//go:build !nogcs

package gcs

import (
	"context"
	"errors"
	"path"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/beamkeeper/beamkeeper/release"
)

var _ release.Foldered = (*Bucket)(nil)

// Folders implements release.Foldered.
func (b *Bucket) Folders(ctx context.Context, prefix string) ([]string, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return nil, b.explain(prefix, mayList, err)
	}
	var all []string
	it := api.Bucket(b.client.cfg.Bucket).Objects(ctx, &storage.Query{Prefix: prefix, Delimiter: "/"})
	for {
		a, err := it.Next()
		switch {
		case errors.Is(err, iterator.Done):
			return all, nil
		case err != nil:
			return nil, b.explain(prefix, mayList, err)
		case a.Prefix != "":
			all = append(all, path.Base(a.Prefix))
		}
	}
}
