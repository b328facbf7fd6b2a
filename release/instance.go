package release

import "context"

// Owner is the OS user and group that an instance runs as.
type Owner struct{ UID, GID int }

// Folder is the folder of an instance.
type Folder struct {
	App      string
	Instance string
	Dir      string // service/{app}/{instance}; holds new, current and previous

	New      *Release // what Dir/new was made from; nil when there is none
	Current  *Release
	Previous *Release
}

// InstanceDir is the path of the instance's folder. The release it runs is in current below it.
func (s *Store) InstanceDir(app, instance string) string { return "" }

// Prepare makes the instance's folder new from the release's tree, replacing what was there. Files that a BEAM never
// writes are reflinked or hard-linked, the others copied. With an owner, folders and copies belong to it
// (the daemon must be root); hard-linked files stay the daemon's and readable.
//
// A hard-linked file is shared by all instances: it must never be written in place. It has no write permission.
func (s *Store) Prepare(ctx context.Context, app, instance string, rel Release, owner *Owner) error {
	return nil
}

// Switch makes new the instance's current and current its previous. A process killed at any time leaves the old
// current or the new one, which the next OpenStore completes.
func (s *Store) Switch(app, instance string) error { return nil }

// RemoveInstance removes the instance's folder. A missing one is no error.
func (s *Store) RemoveInstance(app, instance string) error { return nil }

// Instances returns the folders of app's instances, by name.
func (s *Store) Instances(app string) ([]Folder, error) { return nil, nil }

// Instance returns the folder of one instance. A missing one gives ErrNotFound.
func (s *Store) Instance(app, instance string) (Folder, error) { return Folder{}, ErrNotFound }
