package upgrade

import (
	"context"
	"errors"
)

var errNotYet = errors.New("not there yet")

// Prepare puts the files of To into Root, makes its relup, works out its environment on the node and has release_handler
// check the lot. What runs is not touched. After an error all that it made is gone again.
//
// Errors: *Error.
func (j Job) Prepare(ctx context.Context) (Prepared, error) { return Prepared{}, errNotYet }

// Install runs the upgrade and returns when it has ended. It needs a Prepare, whoever called it; an installation of To that is under way is waited
// for, one that is done is no error. When ctx ends, or the link is lost for longer than the
// ceiling allows, the installation goes on without us.
//
// Errors: *Error. ErrTransient: nothing has begun, or ctx ended: Look says more. ErrNotPossible: release_handler
// refused and From runs on, its environment as it was. ErrBroken: with ErrRestarted or ErrCeiling, or neither.
func (j Job) Install(ctx context.Context, o Options) error { return errNotYet }

// Look says where the instance is.
//
// Errors: *Error of kind ErrTransient when the node cannot be asked, ErrNotPossible when it has no release_handler.
func (j Job) Look(ctx context.Context) (State, error) { return State{}, errNotYet }

// Lingering lists the processes in old code, at most 200.
//
// Errors: *Error of kind ErrTransient.
func (j Job) Lingering(ctx context.Context) ([]Lingerer, error) { return nil, errNotYet }

// Commit makes To what a cold start boots: release_handler's make_permanent, start_erl.data, RELEASES and the scripts in
// bin. With kill, processes in old code end; without it they are an error (ErrLingering) and nothing is changed.
//
// Afterwards call Store.Upgraded, so that the instance's folder says so too.
//
// Errors: *Error. ErrTransient: call it again. ErrBroken: the folder could not be written; a full deployment helps.
func (j Job) Commit(ctx context.Context, kill bool) error { return errNotYet }

// Revert takes the instance back to From by the downgrade instructions of To, and makes From what boots. It works before
// Commit and after, as long as the files of both are in Root. That From runs already is no error.
//
// After Commit, call Store.Upgraded with From's release.
//
// Errors: as of Install; ErrNoWayBack.
func (j Job) Revert(ctx context.Context, o Options) error { return errNotYet }

// Clean takes the files of To out of Root and out of release_handler's list, unless To runs or boots: then it is
// an error of kind ErrNotPossible. Libraries that a known release names stay.
//
// The node need not run: without a link, only the files are looked at.
//
// Errors: *Error.
func (j Job) Clean(ctx context.Context) error { return errNotYet }

// Facts asks a running instance for what decides whether it can be upgraded. It takes a second or two at most.
//
// Errors: *Error of kind ErrTransient when the node cannot be asked.
func Facts(ctx context.Context, n Node) (Live, error) { return Live{}, errNotYet }
