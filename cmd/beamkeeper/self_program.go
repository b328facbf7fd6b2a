package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// signatureSuffix is minisign's.
const signatureSuffix = ".minisig"

// findProgram finds the file that FILE|VERSION means.
func findProgram(cfg *config.Config, name string) (string, error) {
	if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
		return filepath.Abs(name)
	}
	if strings.ContainsRune(name, '/') || cfg.ReleaseAdapter != config.ReleaseLocal {
		return "", api.Errorf(api.CodeNotFound, "there is no program %s", name)
	}
	path := filepath.Join(cfg.ReleaseBucket, "dist", "beamkeeper", fmt.Sprintf("beamkeeper-%s-%s-%s", name, runtime.GOOS, runtime.GOARCH))
	if _, err := os.Stat(path); err != nil {
		return "", &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is neither a file %s nor a version of that name: %v", name, err), Hint: "name the file of the new program", Err: err}
	}
	return path, nil
}

// checkSignature checks the program's bytes. The error says what was missing or wrong.
func (o selfUpgrade) checkSignature(path string, program []byte) error {
	if o.unsigned {
		return nil
	}
	if len(o.keys) == 0 {
		return &api.Error{Code: api.CodeRefused, Message: "no key is known that the program could be signed with; nothing was changed", Hint: "set self_upgrade.public_keys, or --public-key KEY; --unsigned takes it as it is"}
	}
	signature, err := os.ReadFile(path + signatureSuffix)
	if err != nil {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("the program is not signed: %v; nothing was changed", err), Hint: "put its signature beside it, or take it as it is with --unsigned", Err: err}
	}
	for _, text := range o.keys {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil {
			return api.Errorf(api.CodeUsage, "public key %q: %v", text, err)
		}
		if minisign.Verify(key, program, signature) || verifyHashed(key, program, signature) {
			return nil
		}
	}
	return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("the signature of %s fits none of the keys; nothing was changed", path), Hint: "fetch program and signature again, from where they are published"}
}

// verifyHashed checks a signature of the kind that minisign makes for large files.
func verifyHashed(key minisign.PublicKey, program, signature []byte) bool {
	r := minisign.NewReader(strings.NewReader(string(program)))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return false
	}
	return r.Verify(key, signature)
}

// stage puts a copy of the program beside the one it will replace, where nobody else can change it.
func stage(program []byte, target string) (string, error) {
	path := filepath.Join(filepath.Dir(target), ".beamkeeper-"+rand.Text()[:8])
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return "", initError(err)
	}
	_, err = f.Write(program)
	if st, statErr := os.Stat(target); err == nil && statErr == nil {
		err = f.Chmod(st.Mode().Perm() | 0o100)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path) // the first error is the one to tell
		return "", err
	}
	return path, nil
}

// tryProgram runs the new program on what it is to work with, and returns what it says of itself.
func (c *cli) tryProgram(ctx context.Context, path, configFile string) (buildInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var info buildInfo
	out, err := exec.CommandContext(ctx, path, "version", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &info)
	}
	if err == nil && info.Version == "" {
		err = errors.New("it tells no version")
	}
	if err != nil {
		return info, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("the new program does not run here: %v; nothing was changed", err), Hint: fmt.Sprintf("it must be one for %s/%s", runtime.GOOS, runtime.GOARCH), Err: err}
	}
	if out, err := exec.CommandContext(ctx, path, "config", "check", "--config", configFile).CombinedOutput(); err != nil {
		return info, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("the new program, %s, does not take the configuration: %s; nothing was changed", info.Version, strings.TrimSpace(string(out))), Hint: "mend the configuration first", Err: err}
	}
	return info, nil
}

// checkSchema refuses a program that cannot read the state, and one after which there would be no way back.
func (o selfUpgrade) checkSchema(info buildInfo) error {
	switch {
	case info.StateSchema < state.Schema:
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s knows state schema %d, the state has %d; nothing was changed", info.Version, info.StateSchema, state.Schema), Hint: "it is too old for this installation"}
	case info.StateSchema > state.Schema && !o.force:
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s changes the state from schema %d to %d, which the old program cannot read; nothing was changed", info.Version, state.Schema, info.StateSchema), Hint: "make a backup with `beamkeeper state backup`, then --force; it cannot go back by itself"}
	}
	return nil
}

// fromPackage says which package brought a file; "" for none.
func fromPackage(ctx context.Context, path string) string {
	for _, query := range [][]string{{"dpkg", "-S"}, {"rpm", "-qf"}} {
		if _, err := exec.LookPath(query[0]); err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, query[0], append(query[1:], path)...).Output()
		if name, _, _ := strings.Cut(strings.TrimSpace(string(out)), ":"); err == nil && name != "" {
			return name
		}
	}
	return ""
}

// swap puts the staged program in the place of target, which stays as target.previous.
func swap(staged, target string) (previous string, err error) {
	previous = target + ".previous"
	if err := os.Remove(previous); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Link(target, previous); err != nil {
		return "", err
	}
	return previous, os.Rename(staged, target)
}
