package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/release/s3"
)

// bucketTimeout bounds the questions to a bucket far away, the search for credentials included.
const bucketTimeout = 30 * time.Second

// checkCloud looks at a bucket in a cloud: who we are there, and what we may.
func (d *doctor) checkCloud(ctx context.Context) {
	bucket, err := openBucket(d.cfg)
	if err != nil {
		d.fail(areaSource, "bucket", "", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	if !d.checkIdentity(ctx, bucket) {
		return // whatever is asked now fails for the same reason
	}
	src := release.Source{Bucket: bucket, Account: d.cfg.AccountName}
	for _, a := range d.apps {
		d.checkCloudApp(ctx, src, a.Name)
	}
	if len(d.apps) > 0 {
		d.checkList(ctx, bucket, d.apps[0].Name)
	}
}

// checkIdentity says as whom the bucket is asked, and whether anybody could be found.
func (d *doctor) checkIdentity(ctx context.Context, b release.Bucket) bool {
	where := b.Location("")
	if who, is, err := identifyGCS(ctx, b); is {
		if err != nil {
			d.fail(areaSource, "identity", "", "%s", or(who, "nobody")+": "+problemText(err))
			return false
		}
		d.ok(areaSource, "identity", "%s asks %s", who, where)
		return true
	}
	bucket, ok := b.(*s3.Bucket)
	if !ok {
		return true
	}
	id, err := bucket.Identity(ctx)
	if err != nil {
		d.fail(areaSource, "identity", "", "%s", problemText(err))
		return false
	}
	text := or(id.ARN, "credentials") + " from " + id.Source
	if id.Role != "" && id.ARN == "" {
		text += ", as " + id.Role
	}
	if !id.ExpiresAt.IsZero() {
		text += fmt.Sprintf(", good for %v more", time.Until(id.ExpiresAt).Round(time.Minute))
	}
	text += fmt.Sprintf(", asks %s in %s", where, id.Region)
	if id.STSError != "" {
		d.warn(areaSource, "identity", "the bucket may still be open to it; see what follows", "%s; STS does not say whose they are: %s", text, id.STSError)
		return true
	}
	d.ok(areaSource, "identity", "%s", text)
	return true
}

// problemText is the reason of a bucket without the place, which the rest of the line has.
func problemText(err error) string {
	var e *release.BucketError
	if !errors.As(err, &e) {
		return err.Error()
	}
	short := *e
	short.Location = ""
	return short.Error()
}

// checkCloudApp looks at whether an app's current.json and its archive may be read.
func (d *doctor) checkCloudApp(ctx context.Context, src release.Source, app string) {
	key := release.CurrentKey(app, src.Account)
	cur, err := src.Current(ctx, app)
	switch {
	case errors.Is(err, release.ErrNotFound):
		d.warn(areaSource, app, fmt.Sprintf("beamkeeper publish %s FILE", app), "nothing is published: no %s", src.Bucket.Location(key))
		d.mayReadArchives(ctx, src, app)
		return
	case errors.Is(err, release.ErrDenied):
		d.fail(areaSource, app, "", "current.json may not be read: %v", err)
		d.mayReadArchives(ctx, src, app)
		return
	case err != nil:
		d.fail(areaSource, app, "", "%v", err)
		return
	}
	o, err := statObject(ctx, src.Bucket, release.ArchiveKey(app, cur.Version))
	switch {
	case errors.Is(err, release.ErrDenied):
		d.fail(areaSource, app, "", "current.json names %s, but archives may not be read: %v", cur.Version, err)
		return
	case err != nil:
		d.fail(areaSource, app, fmt.Sprintf("beamkeeper publish %s FILE", app), "current.json names %s, but its archive cannot be read: %v", cur.Version, err)
		return
	}
	d.ok(areaSource, app, "%s, %s", cur.Version, size(o.Size))
	d.checkConditional(ctx, src.Bucket, app, key)
}

func statObject(ctx context.Context, b release.Bucket, key string) (release.ObjectInfo, error) {
	if d, ok := b.(release.Depot); ok {
		return d.Stat(ctx, key)
	}
	o, err := b.Open(ctx, key, 0)
	if err != nil {
		return release.ObjectInfo{}, err
	}
	return o.ObjectInfo, o.Body.Close()
}

// mayReadArchives asks for an archive that does not exist: "not found" is what somebody is told who may read them.
func (d *doctor) mayReadArchives(ctx context.Context, src release.Source, app string) {
	if _, err := statObject(ctx, src.Bucket, release.ArchiveKey(app, "0")); errors.Is(err, release.ErrDenied) {
		d.fail(areaSource, app, "", "archives may not be read: %v", err)
	}
}

// checkConditional sees whether a poll that finds nothing new costs next to nothing.
func (d *doctor) checkConditional(ctx context.Context, b release.Bucket, app, key string) {
	remote, ok := b.(release.Remote)
	if !ok {
		return
	}
	o, err := remote.OpenChanged(ctx, key, "")
	if err != nil {
		return // it could be read a moment ago: it is being replaced
	}
	_ = o.Body.Close() // it was only asked which one it is
	if o, err = remote.OpenChanged(ctx, key, o.Token); err == nil {
		_ = o.Body.Close()
		d.warn(areaSource, app, "", "the server sends current.json with each poll: it takes no conditions (If-None-Match)")
	}
}

// checkList says what follows from not being allowed to list, which nothing needs.
func (d *doctor) checkList(ctx context.Context, b release.Bucket, app string) {
	_, err := b.List(ctx, "dist/"+app+"/")
	if errors.Is(err, release.ErrDenied) {
		d.ok(areaSource, "list", "the bucket may not be listed; the daemon does not need that, but is then told \"access denied\" where nothing is published yet")
	}
}
