package state

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

// What is kept at most. The oldest goes first.
const (
	MaxEvents      = 10_000
	MaxDeployments = 10_000
	MaxHistory     = 1_000 // per app
)

// Sources of a wished version.
const (
	SourceCurrent  = "current.json"
	SourceOperator = "operator"
	SourceRollback = "rollback" // ours, as the version before did not last
)

// App is what is wished for an app, and how far that has got.
type App struct {
	Name    string    `json:"name"`
	Wish    Release   `json:"wish"`             // the version wished; empty: none yet
	Source  string    `json:"source,omitempty"` // SourceCurrent or SourceOperator: whose word was last
	At      time.Time `json:"at"`               // when it was said
	By      string    `json:"by,omitempty"`     // who said it by the Erlang API; empty: nobody
	Author  string    `json:"author,omitempty"` // who said it, for records; empty: not known
	Settled Release   `json:"settled"`          // what the last deployment to succeed brought
	Kind    string    `json:"kind,omitempty"`   // how the wish is to be brought: api.KindHot, api.KindFull; empty: as can be

	// Current is the digest of the current.json last acted on. While it is the bucket's, an operator's wish stands.
	Current string `json:"current,omitempty"`
	// Signed is when the newest signed current.json acted on was published. An older one may be refused.
	Signed time.Time `json:"signed,omitzero"`

	Stopped    bool   `json:"stopped,omitempty"`     // the operator stopped the app
	Replicas   *int   `json:"replicas,omitempty"`    // the operator's; nil: the configuration's
	ScaledFrom int    `json:"scaled_from,omitempty"` // the configuration's replicas when Replicas was set; a new one there wins
	Restart    uint64 `json:"restart,omitempty"`     // counts restarts of the whole app

	// Settings is the digest of the settings that instances were told to be restarted for. It counts while it is that of
	// the configuration: instances that were started with other settings are then replaced.
	Settings string    `json:"settings,omitempty"`
	Removed  time.Time `json:"removed,omitzero"` // from the configuration, confirmed: its instances go, its data stays

	Versions

	Deployment string   `json:"deployment,omitempty"` // under way
	Once       []string `json:"once,omitempty"`       // keys of what was run and is not to be again, the oldest first
	Failed     string   `json:"failed,omitempty"`     // the deployment in which the wish failed: it is not tried again unasked
	Halted     string   `json:"halted,omitempty"`     // the deployment after which nothing at all is tried unasked
	Short      *Short   `json:"short,omitempty"`      // Failed or Halted is for want of room on the machine: tried again unasked after all
}

// Short tells of a deployment that failed for want of room on the machine.
type Short struct {
	At    time.Time `json:"at"`
	Tries int       `json:"tries"`      // in a row
	Free  int64     `json:"free_bytes"` // where the state is, right after; -1: not known
}

// Release names a release as the bucket has it.
type Release struct {
	Version string `json:"version,omitempty"`
	Hash    string `json:"hash,omitempty"`   // any text
	SHA256  string `json:"sha256,omitempty"` // of the archive; empty: any

	PreCommands []string `json:"pre_commands,omitempty"` // to be run before it is started for the first time

	Signature   string    `json:"signature,omitempty"`   // of the current.json that named it
	PublishedAt time.Time `json:"published_at,omitzero"` // likewise
}

// Instance is one instance that exists, running or not.
type Instance struct {
	Name       string         `json:"name"`
	App        string         `json:"app"`
	Slot       int            `json:"slot"`
	Ports      map[string]int `json:"ports,omitempty"`
	Version    string         `json:"version"`
	Hash       string         `json:"hash,omitempty"`
	SHA256     string         `json:"sha256,omitempty"`  // of the archive
	Restart    uint64         `json:"restart,omitempty"` // the app's Restart when it was made
	Deployment string         `json:"deployment"`        // that made it
	Kind       string         `json:"kind"`              // full, hot: how it got its version
	CreatedAt  time.Time      `json:"created_at"`

	// What is wished for it.
	Stopped    bool `json:"stopped,omitempty"`    // the operator stopped it
	Leaving    bool `json:"leaving,omitempty"`    // to be stopped, then removed for good
	Restarting bool `json:"restarting,omitempty"` // to be stopped, then started again
	Failed     bool `json:"failed,omitempty"`     // crashed too often: not started until told otherwise

	// The OS process. The zero Process when none was started or its end was seen.
	Process    process.Identity `json:"process"`
	StartedAt  time.Time        `json:"started_at"`
	Logs       []applog.Mark    `json:"logs,omitempty"`       // where its log files ended when it was started
	CrashDump  string           `json:"crash_dump,omitempty"` // where it writes its crash dump
	OwnDump    bool             `json:"own_dump,omitempty"`   // in its own folder, not at a place that the configuration names
	Ready      bool             `json:"ready,omitempty"`      // this OS process was ready once
	OTPRelease string           `json:"otp_release,omitempty"`
	Settings   string           `json:"settings,omitempty"`  // digest of those it was started with; empty: not known
	SaidReady  process.Identity `json:"said_ready,omitzero"` // the OS process that said so by the API; counts while it is Process

	Upgrade *Upgrade `json:"upgrade,omitempty"` // of its running OS process; nil: none

	InHistory      bool        `json:"in_history,omitempty"` // the versions history has it
	CrashRestarts  int         `json:"crash_restarts,omitempty"`
	ForcedRestarts int         `json:"forced_restarts,omitempty"`
	CrashRow       int         `json:"crash_row,omitempty"` // crashes in a row, which the backoff goes by
	Crashes        []time.Time `json:"crashes,omitempty"`   // those that the crash loop's window may still count
	RetryAt        time.Time   `json:"retry_at"`            // not started before
	LastError      string      `json:"last_error,omitempty"`
	Cause          Cause       `json:"cause,omitempty"` // of LastError
}

// maxOnce is how much an app remembers to have run.
const maxOnce = 1000

// RunOnce notes that something was run and is not to be again.
func (a *App) RunOnce(key string) {
	a.Once = append(a.Once, key)
	a.Once = a.Once[max(0, len(a.Once)-maxOnce):]
}

// App returns the record of an app; ok is false when there is none.
func (t *Tx) App(name string) (a App, ok bool, err error) {
	ok, err = t.read(bucketApps, []byte(name), &a)
	return a, ok, err
}

// Apps returns all records of apps, by name.
func (t *Tx) Apps() ([]App, error) { return all[App](t.tx.Bucket(bucketApps)) }

// PutApp writes the record of an app.
func (t *Tx) PutApp(a App) error { return t.write(bucketApps, []byte(a.Name), a) }

// DeleteApp removes the record of an app. Its history, deployments and events stay.
func (t *Tx) DeleteApp(name string) error { return t.tx.Bucket(bucketApps).Delete([]byte(name)) }

// PurgeApp removes all records of an app: its own, its instances, its deployments and its versions history. Events stay.
func (t *Tx) PurgeApp(name string) error {
	list, err := t.Instances(name)
	if err != nil {
		return err
	}
	for _, i := range list {
		if err := t.DeleteInstance(i.Name); err != nil {
			return err
		}
	}
	deployments, err := t.Deployments(name, 0)
	if err != nil {
		return err
	}
	for _, d := range deployments {
		if err := t.tx.Bucket(bucketDeployments).Delete([]byte(d.ID)); err != nil {
			return err
		}
	}
	if t.tx.Bucket(bucketHistory).Bucket([]byte(name)) != nil {
		if err := t.tx.Bucket(bucketHistory).DeleteBucket([]byte(name)); err != nil {
			return err
		}
	}
	return t.DeleteApp(name)
}

// Instance returns the record of an instance; ok is false when there is none.
func (t *Tx) Instance(name string) (i Instance, ok bool, err error) {
	ok, err = t.read(bucketInstances, []byte(name), &i)
	return i, ok, err
}

// Instances returns the records of an app's instances, or of all with an empty app, by name.
func (t *Tx) Instances(app string) ([]Instance, error) {
	list, err := all[Instance](t.tx.Bucket(bucketInstances))
	if err != nil || app == "" {
		return list, err
	}
	var own []Instance
	for _, i := range list {
		if i.App == app {
			own = append(own, i)
		}
	}
	return own, nil
}

// PutInstance writes the record of an instance.
func (t *Tx) PutInstance(i Instance) error { return t.write(bucketInstances, []byte(i.Name), i) }

// DeleteInstance removes the record of an instance.
func (t *Tx) DeleteInstance(name string) error {
	return t.tx.Bucket(bucketInstances).Delete([]byte(name))
}

// Deployment returns the record of a deployment; ok is false when there is none.
func (t *Tx) Deployment(id string) (d api.Deployment, ok bool, err error) {
	ok, err = t.read(bucketDeployments, []byte(id), &d)
	return d, ok, err
}

// Deployments returns up to limit deployments of an app, or of all with an empty app, the newest first. Limit 0 is all.
func (t *Tx) Deployments(app string, limit int) ([]api.Deployment, error) {
	var list []api.Deployment
	c := t.tx.Bucket(bucketDeployments).Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		var d api.Deployment
		if err := decode(bucketDeployments, k, v, &d); err != nil {
			return nil, err
		}
		if app == "" || d.App == app {
			list = append(list, d)
			if len(list) == limit {
				break
			}
		}
	}
	return list, nil
}

// PutDeployment writes the record of a deployment. IDs sort by age, see NextDeployment.
func (t *Tx) PutDeployment(d api.Deployment) error {
	if err := t.write(bucketDeployments, []byte(d.ID), d); err != nil {
		return err
	}
	return trim(t.tx.Bucket(bucketDeployments), MaxDeployments)
}

// NextDeployment mints the ID of a new deployment: d, then seven digits. It is never used twice.
func (t *Tx) NextDeployment() (string, error) {
	n, err := t.tx.Bucket(bucketDeployments).NextSequence()
	return fmt.Sprintf("d%07d", n), err
}

// AddHistory appends to the versions history of an app.
func (t *Tx) AddHistory(app string, h api.HistoryEntry) error {
	b, err := t.tx.Bucket(bucketHistory).CreateBucketIfNotExists([]byte(app))
	if err != nil {
		return err
	}
	if err := appendTo(b, h); err != nil {
		return err
	}
	return trim(b, MaxHistory)
}

// History returns the versions history of an app, the newest first.
func (t *Tx) History(app string) ([]api.HistoryEntry, error) {
	b := t.tx.Bucket(bucketHistory).Bucket([]byte(app))
	if b == nil {
		return nil, nil
	}
	list, err := all[api.HistoryEntry](b)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list, err
}

// LastEvent returns the highest ID that any event has had, 0 when there was none.
func (t *Tx) LastEvent() uint64 { return t.tx.Bucket(bucketEvents).Sequence() }

// AddEvents keeps events. Their IDs are set and grow.
func (t *Tx) AddEvents(events []api.Event) error {
	b := t.tx.Bucket(bucketEvents)
	for _, e := range events {
		if err := t.write(bucketEvents, number(e.ID), e); err != nil {
			return err
		}
		if e.ID > b.Sequence() {
			if err := b.SetSequence(e.ID); err != nil {
				return err
			}
		}
	}
	return trim(b, MaxEvents)
}

// Events returns up to limit kept events with an ID above since, the oldest first.
func (t *Tx) Events(since uint64, limit int) ([]api.Event, error) {
	var list []api.Event
	c := t.tx.Bucket(bucketEvents).Cursor()
	for k, v := c.Seek(number(since + 1)); k != nil && len(list) < limit; k, v = c.Next() {
		var e api.Event
		if err := decode(bucketEvents, k, v, &e); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// Count adds n to a named counter and returns its new value.
func (t *Tx) Count(name string, n uint64) (uint64, error) {
	b := t.tx.Bucket(bucketCounters)
	if v := b.Get([]byte(name)); len(v) == 8 {
		n += binary.BigEndian.Uint64(v)
	}
	return n, b.Put([]byte(name), number(n))
}

// Counters returns all counters.
func (t *Tx) Counters() (map[string]uint64, error) {
	m := make(map[string]uint64)
	err := t.tx.Bucket(bucketCounters).ForEach(func(k, v []byte) error {
		if len(v) != 8 {
			return fmt.Errorf("state: counter %q of %d bytes", k, len(v))
		}
		m[string(k)] = binary.BigEndian.Uint64(v)
		return nil
	})
	return m, err
}

func (t *Tx) read(bucket, key []byte, into any) (bool, error) {
	v := t.tx.Bucket(bucket).Get(key)
	if v == nil {
		return false, nil
	}
	return true, decode(bucket, key, v, into)
}

func (t *Tx) write(bucket, key []byte, value any) error {
	v, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("state: write %s %q: %w", bucket, key, err)
	}
	return t.tx.Bucket(bucket).Put(key, v)
}

func decode(bucket, key, value []byte, into any) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("state: read %s %q: %w", bucket, key, err)
	}
	return nil
}

func all[T any](b *bbolt.Bucket) ([]T, error) {
	var list []T
	err := b.ForEach(func(k, v []byte) error {
		var one T
		if err := decode([]byte("record"), k, v, &one); err != nil {
			return err
		}
		list = append(list, one)
		return nil
	})
	return list, err
}

func appendTo(b *bbolt.Bucket, value any) error {
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return put(b, number(n), value)
}

func put(b *bbolt.Bucket, key []byte, value any) error {
	v, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return b.Put(key, v)
}

// trim removes the oldest records until the keys of the rest span at most max.
func trim(b *bbolt.Bucket, max int) error {
	c := b.Cursor()
	last, _ := c.Last()
	newest := ordinal(last)
	for k, _ := c.First(); k != nil && newest-ordinal(k) >= max; k, _ = c.First() {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// ordinal is the number in a key that number or NextDeployment made.
func ordinal(k []byte) (n int) {
	if len(k) == 8 && k[0] == 0 {
		return int(binary.BigEndian.Uint64(k))
	}
	for _, c := range k {
		if c >= '0' && c <= '9' {
			n = n*10 + int(c-'0')
		}
	}
	return n
}
