package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/web/client"
)

const (
	configName    = "beamkeeper.yaml"
	systemConfig  = "/etc/beamkeeper/" + configName
	defaultSocket = "/run/beamkeeper/beamkeeper.sock"
)

// signOfLife is how long a daemon may take to answer at all.
const signOfLife = 10 * time.Second

// daemon is a client of the daemon that the flags, the environment or a configuration file names.
func (c *cli) daemon() (*client.Client, error) {
	socket, err := c.socketPath()
	if err != nil {
		return nil, err
	}
	d := client.New(socket)
	d.Patience = signOfLife
	return d, nil
}

// socketPath finds the control socket: --socket, $BEAMKEEPER_SOCKET, then control.socket of the configuration.
func (c *cli) socketPath() (string, error) {
	if c.socket != "" {
		return c.socket, nil
	}
	if s := c.getenv("BEAMKEEPER_SOCKET"); s != "" {
		return s, nil
	}
	path := c.configPath()
	if path == "" {
		return defaultSocket, nil // DEPLOYEX_* variables say no other
	}
	paths, err := config.Salvage(path) // of a broken file too
	if err != nil {
		return "", configError(path, err)
	}
	return paths.Socket, nil
}

// configPath finds the configuration: --config, $BEAMKEEPER_CONFIG, DeployEx's $DEPLOYEX_CONFIG_YAML_PATH, ./beamkeeper.yaml, /etc/beamkeeper/beamkeeper.yaml.
// It is empty when there is none.
func (c *cli) configPath() string {
	if c.config != "" {
		return c.config
	}
	if p := c.getenv("BEAMKEEPER_CONFIG"); p != "" {
		return p
	}
	if p := c.getenv("DEPLOYEX_CONFIG_YAML_PATH"); p != "" {
		return p
	}
	if ownFile(configName) {
		if abs, err := filepath.Abs(configName); err == nil {
			return abs
		}
	}
	if f, err := os.Open(systemConfig); err == nil {
		_ = f.Close() // it was only asked whether it can be read
		return systemConfig
	}
	return ""
}

// ownFile reports whether path is a file of the user or of root: one that somebody else left in the current folder
// does not say which daemon to talk to.
func ownFile(path string) bool {
	fi, err := os.Stat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}

// mustConfig loads the configuration that configPath finds; where there is none, the one in the variables of DeployEx's first
// versions.
func (c *cli) mustConfig() (*config.Config, string, error) {
	path := c.configPath()
	if path == "" && config.HasVariables(c.getenv) {
		cfg, err := config.FromVariables(os.Environ())
		return cfg, config.VariablesName, err
	}
	if path == "" {
		return nil, "", &api.Error{Code: api.CodeNotFound, Message: "there is no configuration: neither ./" + configName + " nor " + systemConfig,
			Hint: `name one with --config or $BEAMKEEPER_CONFIG, or make one with "beamkeeper init"`}
	}
	cfg, err := loadConfig(path)
	return cfg, path, err
}

func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	return cfg, configError(path, err)
}

// configError tells people about a file that cannot be read.
func configError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no configuration %s", path),
			Hint: `make one with "beamkeeper init"`, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &api.Error{Code: api.CodeDenied, Message: fmt.Sprintf("no permission to read %s", path),
			Hint: "name the daemon's socket with --socket or $BEAMKEEPER_SOCKET", Err: err}
	}
	return err
}
