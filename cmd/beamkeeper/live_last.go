package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/beamkeeper/beamkeeper/internal/config"
)

// lastName is the copy of the file that was in force last, in var_path.
const lastName = "applied.yaml"

// keep keeps a copy of a file that is in force, for a daemon that is started when the file is broken.
func (l *live) keep(b []byte, sum string) {
	if l.kept == sum {
		return
	}
	if err := writeCopy(filepath.Join(l.config().VarPath, lastName), b); err != nil {
		l.log.Warn("no copy of the configuration in force could be kept", "err", err)
		return
	}
	l.kept = sum
}

func writeCopy(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+lastName+"-*") // mode 0600: there may be secrets in it
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it has its new name by then
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// lastInForce gives the configuration that was in force last, in place of the file at path, which is broken. Where there is
// none, or it is not sound for this version either, the error is the one about the file.
func lastInForce(path string, broken error) (*config.Config, error) {
	var bad *config.Error
	if !errors.As(broken, &bad) || path == config.VariablesName {
		return nil, broken
	}
	paths, err := config.Salvage(path)
	if err != nil {
		return nil, broken
	}
	b, err := os.ReadFile(filepath.Join(paths.VarPath, lastName))
	if err != nil {
		return nil, broken
	}
	cfg, err := config.Parse(path, b)
	if err != nil || cfg.VarPath != paths.VarPath {
		return nil, broken
	}
	return cfg, nil
}
