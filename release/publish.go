package release

import "context"

// PublishOptions says what to publish.
type PublishOptions struct {
	Bucket      Uploader
	Account     string
	App         string
	File        string   // the archive
	Version     string   // empty: the release's own
	Hash        string   // any text
	PreCommands []string // for the release's script
	Limits      Limits
}

// Published is what Publish did.
type Published struct {
	Current     Current // File is set
	Package     Package
	Archive     string // location
	ArchiveSize int64
	Replaced    bool // there was another archive of this version
	Unchanged   bool // the bucket had this very archive
}

// Publish inspects the archive, writes it to the bucket and then, atomically, the app's current.json with its version
// and sha256.
func Publish(ctx context.Context, o PublishOptions) (Published, error) { return Published{}, nil }
