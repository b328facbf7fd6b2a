package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// copyBuffer is how much of a download is in our memory.
	copyBuffer = 128 << 10
	// stallTimeout is how long a download may bring nothing before it counts as cut off.
	stallTimeout = 30 * time.Second
	// resumeWait is how long a download waits after it was cut off, doubled each time that nothing came.
	resumeWait    = 500 * time.Millisecond
	maxResumeWait = 30 * time.Second
	// maxResumes in a row, none of which brought anything, end a download: after some two minutes.
	maxResumes = 9
	// maxRestarts is how often an object may be replaced while it is downloaded.
	maxRestarts = 3
)

// download is one archive on its way to a file.
type download struct {
	source  Source
	key     string
	limiter *rate.Limiter // of all downloads together; nil: none
	stall   time.Duration
	wait    time.Duration // before it goes on after a cut
	part    *os.File

	object ObjectInfo
	sums   *sums
	told   *progress
}

// run copies the object o, which is open, to the file. What was cut off goes on where it ended; what was replaced
// begins anew. d.object is what came in the end.
func (d *download) run(ctx context.Context, o *Object) error {
	remote, _ := d.source.Bucket.(Remote)
	d.told = newProgress(ctx, o.ObjectInfo)
	d.begin(o.ObjectInfo)
	d.told.now()
	buf := make([]byte, copyBuffer)
	failures := 0
	for {
		before := d.told.Done
		err := d.copy(ctx, o, buf)
		if err == nil || ctx.Err() != nil {
			d.told.now()
			return errors.Join(err, ctx.Err())
		}
		if remote == nil {
			return err
		}
		if d.told.Done > before {
			failures = 0
		}
		if o, err = d.again(ctx, remote, err, &failures); err != nil {
			return err
		}
	}
}

// begin makes the file empty for o.
func (d *download) begin(o ObjectInfo) {
	d.object, d.sums = o, newSums(o.Checksums)
	d.told.Done, d.told.Total = 0, o.Size
}

// copy reads o to its end and closes it.
func (d *download) copy(ctx context.Context, o *Object, buf []byte) error {
	defer o.Body.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := d.read(o, buf)
		if n > 0 {
			if _, werr := d.part.Write(buf[:n]); werr != nil {
				return &localFailure{werr}
			}
			_, _ = d.sums.Write(buf[:n]) // hashes cannot fail
			d.told.add(n)
			if d.limiter != nil {
				if werr := d.limiter.WaitN(ctx, n); werr != nil {
					return werr
				}
			}
		}
		switch {
		case err == nil:
		case d.object.Size >= 0 && d.told.Done >= d.object.Size && !errors.Is(err, ErrChanging):
			return nil // all is here: its checksums say whether it is right
		case err == io.EOF && d.object.Size < 0:
			return nil
		case err == io.EOF:
			return fmt.Errorf("%s: %w: %d bytes of %d came", d.object.Location, ErrTruncated, d.told.Done, d.object.Size)
		default:
			return err
		}
	}
}

// read is o.Body.Read that ends when nothing comes for too long.
func (d *download) read(o *Object, buf []byte) (int, error) {
	body, ok := o.Body.(*cancelBody)
	if d.stall <= 0 || !ok {
		return o.Body.Read(buf)
	}
	timer := time.AfterFunc(d.stall, body.fallSilent)
	n, err := body.Read(buf)
	timer.Stop()
	if err != nil && body.silent.Load() {
		err = &BucketError{Location: o.Location, Kind: ErrUnreachable, Detail: fmt.Sprintf("nothing came for %v", d.stall), Err: err}
	}
	return n, err
}

// cancelBody is a body whose request can be ended while it is read.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
	silent atomic.Bool
}

// openCancellable opens an object whose Body is a *cancelBody.
func openCancellable(ctx context.Context, open func(context.Context) (*Object, error)) (*Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	o, err := open(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	o.Body = &cancelBody{ReadCloser: o.Body, cancel: cancel}
	return o, nil
}

func (b *cancelBody) fallSilent() {
	b.silent.Store(true)
	b.cancel()
}

// Close also ends the request.
func (b *cancelBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

// again opens what is left of the object after err, which another try may mend.
func (d *download) again(ctx context.Context, remote Remote, err error, failures *int) (*Object, error) {
	for {
		if !passing(err) {
			return nil, err
		}
		if *failures++; *failures > maxResumes {
			return nil, fmt.Errorf("%w (given up after %d tries at byte %d of %d)", err, *failures, d.told.Done, d.object.Size)
		}
		d.told.Err = err
		d.told.now()
		if *failures > 1 || !cut(err) {
			wait := min(d.wait<<min(*failures-1, 10), maxResumeWait)
			if !sleep(ctx, wait/2+rand.N(wait/2+1)) {
				return nil, ctx.Err()
			}
		}
		var o *Object
		o, err = openCancellable(ctx, func(ctx context.Context) (*Object, error) {
			return remote.Resume(ctx, d.key, d.object.Token, d.told.Done)
		})
		if err == nil {
			d.told.Resumed++
			return o, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, ErrChanging) {
			continue
		}
		if d.told.Restarts++; d.told.Restarts > maxRestarts {
			return nil, err
		}
		if o, err = d.restart(ctx, remote); err == nil {
			return o, nil
		}
	}
}

// restart opens the object that took the place of the one that was being downloaded.
func (d *download) restart(ctx context.Context, remote Remote) (*Object, error) {
	o, err := openCancellable(ctx, func(ctx context.Context) (*Object, error) { return remote.Open(ctx, d.key, 0) })
	if err != nil {
		return nil, err
	}
	_, err = d.part.Seek(0, io.SeekStart)
	if err == nil {
		err = d.part.Truncate(0)
	}
	if err != nil {
		o.Body.Close()
		return nil, &localFailure{err}
	}
	d.begin(o.ObjectInfo)
	return o, nil
}

// localFailure is an error of our own disk: no other try mends it.
type localFailure struct{ err error }

func (e *localFailure) Error() string { return e.err.Error() }
func (e *localFailure) Unwrap() error { return e.err }

// passing says whether another try may mend err.
func passing(err error) bool {
	var local *localFailure
	if errors.As(err, &local) {
		return false
	}
	for _, kind := range []error{ErrUnreachable, ErrServer, ErrThrottled, ErrDNS, ErrTruncated, ErrChanging, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// cut says whether a transfer was cut off: the next one may begin at once.
func cut(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrTruncated) || errors.Is(err, io.ErrUnexpectedEOF)
}
