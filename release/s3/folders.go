package s3

import (
	"context"
	"path"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

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
	pages := awss3.NewListObjectsV2Paginator(api, &awss3.ListObjectsV2Input{
		Bucket: aws.String(b.client.cfg.Bucket), Prefix: aws.String(prefix), Delimiter: aws.String("/"),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.explain(prefix, mayList, err)
		}
		for _, p := range page.CommonPrefixes {
			all = append(all, path.Base(aws.ToString(p.Prefix)))
		}
	}
	return all, nil
}
