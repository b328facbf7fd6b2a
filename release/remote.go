package release

import "context"

// Remote is a Bucket at the other end of a network, where each request costs something and any may be cut off.
// Its errors are *BucketError.
type Remote interface {
	Bucket
	// OpenChanged is Open from the start, unless the object's Token is still token: then the error wraps ErrUnchanged.
	// It takes one request. An empty token is that of no object.
	OpenChanged(ctx context.Context, key, token string) (*Object, error)
	// Resume streams the object whose Token is token from offset on; another one by now gives an error that wraps
	// ErrChanging.
	Resume(ctx context.Context, key, token string, offset int64) (*Object, error)
}
