package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/release"
)

// publishing is what `publish` and `deploy APP FILE` ask for.
type publishing struct {
	app, file, version, hash string
	preCommands              []string

	place
	sign, signPassword string // file of the private key, or env:NAME; file of its password
	replace, dryRun    bool
	forHost            string
}

// place is a bucket and an account in it, as flags have them.
type place struct {
	to      string
	env     string
	account bool // --env was given
}

func (p *place) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.to, "to", "", "bucket: a folder, s3://BUCKET, gs://BUCKET, ssh://[USER@]HOST/FOLDER; default: the configuration's")
	cmd.Flags().StringVar(&p.env, "env", "", "account (DeployEx's account_name), whose current.json it is; default: the configuration's")
}

func (c *cli) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish APP FILE",
		Short: "Put a release into the bucket and make it the current one",
		Long: "Puts the archive of a release (.tar.gz) into a bucket, looks at what has become of it there, and names its version in\n" +
			"current.json. A daemon that watches the bucket deploys it. No daemon needs to run here, and with --to no configuration is\n" +
			"needed. A version that the bucket has with other bytes is refused.",
		Args:              arguments("APP", "FILE"),
		ValidArgsFunction: c.completeApps,
		Example: "  beamkeeper publish shop _build/prod/shop-1.4.0.tar.gz\n" +
			"  beamkeeper publish shop shop-1.4.0.tar.gz --to ssh://deploy@host/var/lib/beamkeeper/bucket --env prod --sign release.key\n" +
			"  beamkeeper publish list shop\n  beamkeeper publish prune shop --keep 10",
	}
	asJSON := jsonFlag(cmd)
	var p publishing
	p.flags(cmd)
	cmd.Flags().StringVar(&p.version, "version", "", "version to publish it as; default: the release's own")
	cmd.Flags().StringVar(&p.hash, "hash", "", "text to keep with the version, such as a commit")
	cmd.Flags().StringArrayVar(&p.preCommands, "pre-command", nil, "what to run once before the version starts, such as 'eval Shop.Release.migrate'; may be given again")
	cmd.Flags().StringVar(&p.sign, "sign", "", "file of the private key to sign with (beamkeeper keygen, minisign), or env:NAME of a variable that holds it")
	cmd.Flags().StringVar(&p.signPassword, "sign-password-file", "", "file with the password of that key; default: $BEAMKEEPER_SIGN_PASSWORD, or asked for on a terminal")
	cmd.Flags().BoolVar(&p.replace, "replace", false, "overwrite a version that is there with other bytes")
	cmd.Flags().BoolVar(&p.dryRun, "dry-run", false, "check everything and write nothing")
	cmd.Flags().StringVar(&p.forHost, "for", "", "refuse what cannot run on HOST: a host that ssh reaches, or a file that `beamkeeper release host` wrote there")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.app, p.file = args[0], args[1]
		p.account = cmd.Flags().Changed("env")
		done, err := c.publish(cmd.Context(), p)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, publishedJSON(done, p.dryRun))
		}
		what := "published"
		switch {
		case p.dryRun && done.Replaced:
			what = "would publish again, with other content,"
		case p.dryRun:
			what = "would publish"
		case done.Replaced:
			what = "published again, with other content,"
		}
		fmt.Fprintf(c.out, "%s %s %s (%s, %s, sha256 %.12s…)\n", what, p.app, done.Current.Version, done.Package.Language, size(done.ArchiveSize), done.Current.SHA256)
		fmt.Fprintf(c.out, "  archive  %s\n  current  %s\n", done.Archive, done.Current.File)
		if done.Key != "" {
			fmt.Fprintf(c.out, "  signed   with the key %s\n", done.Key)
		}
		return nil
	}
	cmd.AddCommand(c.publishListCommand(), c.publishPruneCommand())
	return cmd
}

func publishedJSON(p release.Published, dryRun bool) any {
	return struct {
		Version     string          `json:"version"`
		Previous    string          `json:"previous_version,omitempty"`
		SHA256      string          `json:"sha256"`
		Current     string          `json:"current"`
		Archive     string          `json:"archive"`
		Description string          `json:"description"`
		ArchiveSize int64           `json:"archive_bytes"`
		Replaced    bool            `json:"replaced"`
		Unchanged   bool            `json:"unchanged"`
		DryRun      bool            `json:"dry_run"`
		Key         string          `json:"signed_with,omitempty"`
		PublishedAt *api.Time       `json:"published_at,omitempty"`
		Package     release.Package `json:"package"`
	}{p.Current.Version, p.Previous.Version, p.Current.SHA256, p.Current.File, p.Archive, p.Description, p.ArchiveSize, p.Replaced, p.Unchanged, dryRun, p.Key, signedAt(p), p.Package}
}

func signedAt(p release.Published) *api.Time {
	if p.Current.PublishedAt.IsZero() {
		return nil
	}
	return &api.Time{Time: p.Current.PublishedAt}
}

// publish checks the archive, against the configuration if there is one, and puts it into the bucket.
func (c *cli) publish(ctx context.Context, p publishing) (release.Published, error) {
	var none release.Published
	at, err := c.depot(p.place)
	if err != nil {
		return none, err
	}
	var app *config.App
	if at.cfg != nil {
		a, err := findApp(at.cfg, p.app)
		if err != nil {
			return none, err
		}
		app = &a
	}
	if err := checkArchive(ctx, p.app, app, p.file, at.limits); err != nil {
		return none, err
	}
	if err := c.checkFor(ctx, p, at.limits); err != nil {
		return none, err
	}
	o := release.PublishOptions{
		Bucket: at.bucket, Account: at.account, App: p.app, File: p.file, Version: p.version, Hash: p.hash, PreCommands: p.preCommands,
		Limits: at.limits, Replace: p.replace, DryRun: p.dryRun,
	}
	if p.sign != "" {
		key, err := c.signingKey(p.sign, p.signPassword)
		if err != nil {
			return none, err
		}
		o.Sign = &key
	}
	done, err := release.Publish(ctx, o)
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

// checkArchive refuses what the app's start contract could never start. Without a configuration (nil), it is not known.
func checkArchive(ctx context.Context, name string, app *config.App, file string, l release.Limits) error {
	pkg, err := release.Inspect(ctx, file, l)
	if err != nil {
		return publishError(err)
	}
	if app != nil && pkg.Language != string(app.Language) {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s is a release in %s, but %s is configured as %s", file, pkg.Language, app.Name, app.Language),
			Hint: "set the language of the app in the configuration, or publish the right file; nothing was changed"}
	}
	if pkg.Name != name {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s is a release of %q, not of %q", file, pkg.Name, name),
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
	case errors.Is(err, release.ErrExists):
		e.Code, e.Hint = api.CodeRefused, "give it another version (--version), or overwrite what is there with --replace; the bucket was left as it is"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, release.ErrDenied), errors.Is(err, release.ErrCredentials), errors.Is(err, release.ErrNoCredentials), errors.Is(err, release.ErrExpired):
		e.Code, e.Hint = api.CodeDenied, "publish as a user who may write to the bucket"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, release.ErrNotFound):
		e.Code = api.CodeNotFound
	case errors.Is(err, release.ErrBadVersion), errors.Is(err, release.ErrBadName):
		e.Code = api.CodeUsage
	case errors.Is(err, release.ErrBadRel), errors.Is(err, release.ErrBadArchive), errors.Is(err, release.ErrTruncated),
		errors.Is(err, release.ErrUnsafePath), errors.Is(err, release.ErrLimit), errors.Is(err, release.ErrSignature):
		e.Code, e.Hint = api.CodeRefused, "the bucket was left as it is"
	}
	return e
}

// signingKey reads a private key.
func (c *cli) signingKey(from, passwordFile string) (release.PrivateKey, error) {
	var text []byte
	if name, ok := strings.CutPrefix(from, "env:"); ok {
		if text = []byte(c.getenv(name)); len(text) == 0 {
			return release.PrivateKey{}, api.Errorf(api.CodeUsage, "--sign %s: there is no such variable, or it is empty", from)
		}
	} else {
		var err error
		if text, err = readPrivate(from); err != nil {
			return release.PrivateKey{}, err
		}
	}
	password, err := c.signPassword(passwordFile)
	if err != nil {
		return release.PrivateKey{}, err
	}
	key, err := release.ParsePrivateKey(text, password)
	if errors.Is(err, release.ErrPassword) && password == "" && passwordFile == "" && c.canAsk() {
		if password, err = c.ask("Password of the key: "); err == nil {
			key, err = release.ParsePrivateKey(text, password)
		}
	}
	if err != nil {
		return key, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("--sign %s: %v", from, err), Hint: "--sign-password-file FILE, or $BEAMKEEPER_SIGN_PASSWORD; nothing was changed", Err: err}
	}
	return key, nil
}

// readPrivate reads a file that nobody else may read.
func readPrivate(file string) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, &api.Error{Code: api.CodeNotFound, Message: err.Error(), Err: err}
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s has the mode %04o: others may read the private key", file, st.Mode().Perm()), Hint: "chmod 0400 " + file}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, &api.Error{Code: api.CodeDenied, Message: err.Error(), Err: err}
	}
	return b, nil
}

// signPassword finds the password of a key without asking for it; empty: there is none.
func (c *cli) signPassword(file string) (string, error) {
	if file == "" {
		return c.getenv("BEAMKEEPER_SIGN_PASSWORD"), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", &api.Error{Code: api.CodeNotFound, Message: err.Error(), Err: err}
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
