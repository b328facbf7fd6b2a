package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/release/ssh"
)

// depot is a bucket that can be published to.
type depot struct {
	bucket  release.Depot
	account string
	cfg     *config.Config // whose bucket it is; nil: --to named one
	limits  release.Limits
}

// depot finds the bucket that the flags mean, or else the configuration.
func (c *cli) depot(p place) (depot, error) {
	d := depot{account: p.env}
	if p.to != "" {
		bucket, err := c.openDepot(p.to)
		if err != nil {
			return d, &api.Error{Code: api.CodeUsage, Message: "--to: " + err.Error(), Err: err}
		}
		d.bucket = bucket
		if !p.account {
			return d, &api.Error{Code: api.CodeUsage, Message: "--to needs --env: the account (account_name) whose current.json is meant", Hint: "--env local is that of a configuration that names none; --env '' is for buckets without accounts"}
		}
		return d, nil
	}
	cfg, path, err := c.mustConfig()
	if err != nil {
		return d, err
	}
	d.cfg, d.limits = cfg, limits(cfg)
	if !p.account {
		d.account = cfg.AccountName
	}
	if d.bucket, err = configuredDepot(cfg); err != nil {
		return d, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("the bucket of %s: %v", path, err), Err: err}
	}
	return d, nil
}

// openDepot opens the bucket of an address.
func (c *cli) openDepot(address string) (release.Depot, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case !ok:
		return release.NewLocalBucket(address), nil
	case scheme == "file":
		if !filepath.IsAbs(rest) {
			return nil, fmt.Errorf("%q names no folder: file:///FOLDER", address)
		}
		return release.NewLocalBucket(rest), nil
	case scheme == "ssh":
		cfg, err := ssh.Parse(address)
		cfg.Command = c.sshCommand()
		return ssh.New(cfg), err
	case scheme == "s3" || scheme == "gs":
		return cloudDepot(address)
	}
	return nil, fmt.Errorf("%q is neither a folder nor begins with s3://, gs:// or ssh://", address)
}

// sshCommand is the program ssh with options for it, which $BEAMKEEPER_SSH may say.
func (c *cli) sshCommand() []string {
	if words := strings.Fields(c.getenv("BEAMKEEPER_SSH")); len(words) > 0 {
		return words
	}
	return []string{"ssh"}
}

// checkFor refuses what cannot run on the host that p names.
func (c *cli) checkFor(ctx context.Context, p publishing, l release.Limits) error {
	if p.forHost == "" {
		return nil
	}
	host, err := c.hostFacts(ctx, p.forHost)
	if err != nil {
		return &api.Error{Code: api.CodeFailed, Message: fmt.Sprintf("--for %s: %v", p.forHost, err), Hint: "nothing was changed", Err: err}
	}
	contents, err := release.ReadContents(ctx, p.file, l)
	if err != nil {
		return publishError(err)
	}
	v := release.Judge(nil, contents, host)
	if v.Verdict != release.Refused {
		return nil
	}
	var words []string
	for _, r := range v.Reasons {
		words = append(words, r.What)
	}
	return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s cannot run on %s: %s", p.file, p.forHost, strings.Join(words, "; ")), Hint: "build it on a machine like that one; nothing was changed"}
}

// hostFacts reads what a host offers to a release: from a file, or by asking the beamkeeper there.
func (c *cli) hostFacts(ctx context.Context, name string) (h release.Host, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		if strings.Contains(name, "/") || strings.HasPrefix(name, "-") {
			return h, err
		}
		ssh := append(c.sshCommand(), "-T", "--", name, "beamkeeper release host")
		cmd := exec.CommandContext(ctx, ssh[0], ssh[1:]...)
		cmd.Stderr = c.err
		if b, err = cmd.Output(); err != nil {
			return h, fmt.Errorf("it is no file, and %s: %w", strings.Join(ssh, " "), err)
		}
	}
	if err := json.Unmarshal(b, &h); err != nil || h.Machine == "" {
		return h, fmt.Errorf("that is not what `beamkeeper release host` writes (%w)", err)
	}
	return h, nil
}
