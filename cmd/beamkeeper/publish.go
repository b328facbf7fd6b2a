package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/release"
)

// publishing is what `publish` and `deploy APP FILE` ask for.
type publishing struct {
	app, file, version, hash string
	preCommands              []string
}

func (c *cli) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish APP FILE",
		Short: "Put a release into the bucket and make it the current one",
		Long: "Puts the archive of a release (.tar.gz) into the local bucket and names its version in current.json. A daemon that\n" +
			"watches the bucket deploys it at once. No daemon needs to run.",
		Args:              arguments("APP", "FILE"),
		ValidArgsFunction: c.completeApps,
	}
	asJSON := jsonFlag(cmd)
	var p publishing
	cmd.Flags().StringVar(&p.version, "version", "", "version to publish it as; default: the release's own")
	cmd.Flags().StringVar(&p.hash, "hash", "", "text to keep with the version, such as a commit")
	cmd.Flags().StringArrayVar(&p.preCommands, "pre-command", nil, "what to run once before the version starts, such as 'eval Shop.Release.migrate'; may be given again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.app, p.file = args[0], args[1]
		done, err := c.publish(cmd.Context(), p)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, publishedJSON(done))
		}
		what := "published"
		if done.Replaced && !done.Unchanged {
			what = "published again, with other content,"
		}
		fmt.Fprintf(c.out, "%s %s %s (%s, %s, sha256 %.12s…)\n", what, p.app, done.Current.Version, done.Package.Language, size(done.ArchiveSize), done.Current.SHA256)
		fmt.Fprintf(c.out, "  archive  %s\n  current  %s\n", done.Archive, done.Current.File)
		return nil
	}
	return cmd
}

func publishedJSON(p release.Published) any {
	return struct {
		Version     string          `json:"version"`
		SHA256      string          `json:"sha256"`
		Current     string          `json:"current"`
		Archive     string          `json:"archive"`
		ArchiveSize int64           `json:"archive_bytes"`
		Replaced    bool            `json:"replaced"`
		Unchanged   bool            `json:"unchanged"`
		Package     release.Package `json:"package"`
	}{p.Current.Version, p.Current.SHA256, p.Current.File, p.Archive, p.ArchiveSize, p.Replaced, p.Unchanged, p.Package}
}

// publish checks the archive against the configuration and puts it into the local bucket.
func (c *cli) publish(ctx context.Context, p publishing) (release.Published, error) {
	var none release.Published
	cfg, path, err := c.mustConfig()
	if err != nil {
		return none, err
	}
	if cfg.ReleaseAdapter != config.ReleaseLocal {
		return none, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("the bucket of %s is %s; only a local one can be published to", path, cfg.ReleaseAdapter)}
	}
	app, err := findApp(cfg, p.app)
	if err != nil {
		return none, err
	}
	if err := checkArchive(ctx, app, p.file, limits(cfg)); err != nil {
		return none, err
	}
	done, err := release.Publish(ctx, release.PublishOptions{
		Bucket: release.NewLocalBucket(cfg.ReleaseBucket), Account: cfg.AccountName, App: p.app, File: p.file,
		Version: p.version, Hash: p.hash, PreCommands: p.preCommands, Limits: limits(cfg),
	})
	return done, publishError(err)
}

func findApp(cfg *config.Config, name string) (config.App, error) {
	var names []string
	for _, a := range cfg.Applications {
		if a.Name == name {
			return a, nil
		}
		names = append(names, a.Name)
	}
	return config.App{}, noSuchApp(name, names)
}

func limits(cfg *config.Config) release.Limits {
	return release.Limits{Entries: cfg.Release.MaxEntries, Bytes: int64(cfg.Release.MaxUnpackedBytes)}
}

// checkArchive refuses what the app's start contract could never start.
func checkArchive(ctx context.Context, app config.App, file string, l release.Limits) error {
	pkg, err := release.Inspect(ctx, file, l)
	if err != nil {
		return publishError(err)
	}
	if pkg.Language != string(app.Language) {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s is a release in %s, but %s is configured as %s", file, pkg.Language, app.Name, app.Language),
			Hint: "set the language of the app in the configuration, or publish the right file; nothing was changed"}
	}
	if pkg.Name != app.Name {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s is a release of %q, not of %q", file, pkg.Name, app.Name),
			Hint: "an app has the name of its release; nothing was changed"}
	}
	return nil
}

// publishError tells people what kind of failure it was.
func publishError(err error) error {
	if err == nil {
		return nil
	}
	e := &api.Error{Code: api.CodeFailed, Message: err.Error(), Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Code, e.Hint = api.CodeDenied, "publish as a user who may write to the bucket"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, release.ErrNotFound):
		e.Code = api.CodeNotFound
	case errors.Is(err, release.ErrBadVersion), errors.Is(err, release.ErrBadName):
		e.Code = api.CodeUsage
	case errors.Is(err, release.ErrBadRel), errors.Is(err, release.ErrBadArchive), errors.Is(err, release.ErrTruncated),
		errors.Is(err, release.ErrUnsafePath), errors.Is(err, release.ErrLimit):
		e.Code, e.Hint = api.CodeRefused, "the bucket was left as it is"
	}
	return e
}
