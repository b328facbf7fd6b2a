package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// selfUpgrade is how a new program is taken.
type selfUpgrade struct {
	keys            []string
	unsigned, force bool
	timeout, soak   time.Duration
}

// hostedDaemon is the daemon that is upgraded, as the host sees it.
type hostedDaemon struct {
	pid     int
	program string   // the path it was started from
	unit    string   // of systemd; empty: none
	args    []string // to start it again with, should it be gone
	env     []string
	dir     string
	stderr  string // where it logs to; empty: nowhere that can be opened again
}

func (c *cli) selfUpgrade(ctx context.Context, name string, o selfUpgrade) error {
	cfg, configFile, err := c.mustConfig()
	if err != nil {
		return err
	}
	o.keys = append(o.keys, cfg.SelfUpgrade.PublicKeys...)
	client, err := c.daemon()
	if err != nil {
		return err
	}
	before, err := client.Status(ctx)
	if err != nil {
		return err
	}
	path, err := findProgram(cfg, name)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := o.checkSignature(path, program); err != nil {
		return err
	}
	d, err := findDaemon(cfg.Control.Socket)
	if err != nil {
		return err
	}
	if pkg := fromPackage(ctx, d.program); pkg != "" && !o.force {
		return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s came with the package %s; nothing was changed", d.program, pkg), Hint: "install the new package: it restarts the daemon alone, the instances run on; or --force"}
	}
	staged, err := stage(program, d.program)
	if err != nil {
		return err
	}
	defer os.Remove(staged) // unless it was put in its place
	info, err := c.tryProgram(ctx, staged, configFile)
	if err != nil {
		return err
	}
	if err := o.checkSchema(info); err != nil {
		return err
	}
	fmt.Fprintf(c.err, "%s → %s: restarting the daemon (OS pid %d)\n", before.Version, info.Version, d.pid)
	previous, err := swap(staged, d.program)
	if err != nil {
		return initError(err)
	}
	err = c.restartAndLook(ctx, d, before, info.Version, o)
	if err == nil {
		fmt.Fprintf(c.out, "upgraded to %s; %s is kept as %s\n", info.Version, before.Version, previous)
		return nil
	}
	fmt.Fprintf(c.err, "%v; going back to %s\n", err, before.Version)
	// What was begun is ended, even when the terminal is gone.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*o.timeout+o.soak)
	defer cancel()
	if backErr := c.goBack(back, d, previous, before, o); backErr != nil {
		return &api.Error{Code: api.CodeFailed, Message: fmt.Sprintf("%v; and going back failed: %v", err, backErr), Hint: fmt.Sprintf("start %s by hand; the instances run on", d.program), Err: errors.Join(err, backErr)}
	}
	return &api.Error{Code: api.CodeFailed, Message: fmt.Sprintf("%v; %s runs again, with every instance", err, before.Version), Hint: "the daemon's log says why", Err: err}
}

func (c *cli) goBack(ctx context.Context, d hostedDaemon, previous string, before api.Status, o selfUpgrade) error {
	if err := os.Rename(previous, d.program); err != nil {
		return err
	}
	o.soak = 0
	return c.restartAndLook(ctx, d, before, before.Version, o)
}

// restartAndLook restarts the daemon and returns when version is up, has every instance that was running before, and
// stays up.
func (c *cli) restartAndLook(ctx context.Context, d hostedDaemon, before api.Status, version string, o selfUpgrade) error {
	asked := time.Now()
	if err := d.restart(ctx); err != nil {
		return err
	}
	up, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var last error
	for {
		if last = c.looksWell(up, before, version, asked); last == nil {
			break
		}
		select {
		case <-up.Done():
			return fmt.Errorf("%s is not up within %s: %w", version, o.timeout, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
	for end := time.Now().Add(o.soak); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
		if err := c.looksWell(ctx, before, version, asked); err != nil {
			return fmt.Errorf("%s did not stay up: %w", version, err)
		}
	}
	return nil
}

// looksWell says what is missing of a daemon that has taken over everything.
func (c *cli) looksWell(ctx context.Context, before api.Status, version string, since time.Time) error {
	client, err := c.daemon()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if now.Version != version {
		return fmt.Errorf("%s answers", now.Version)
	}
	if started := now.StartedAt.Time; started.Before(since.Add(-time.Second)) {
		return errors.New("the daemon has not been restarted yet")
	}
	have := make(map[string]api.Instance)
	for _, a := range now.Apps {
		for _, i := range a.Instances {
			have[i.Name] = i
		}
	}
	for _, a := range before.Apps {
		for _, i := range a.Instances {
			if i.State != api.StateRunning || i.OSPID == 0 || syscall.Kill(i.OSPID, 0) != nil {
				continue // it was not ready, or has ended by itself
			}
			if got := have[i.Name]; got.OSPID != i.OSPID || got.State != api.StateRunning {
				return fmt.Errorf("%s (OS pid %d) is not taken over", i.Name, i.OSPID)
			}
		}
	}
	return nil
}

// findDaemon finds the process behind the control socket.
func findDaemon(socket string) (hostedDaemon, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return hostedDaemon{}, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return hostedDaemon{}, err
	}
	var cred *syscall.Ucred
	if ctl := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); ctl != nil || err != nil {
		return hostedDaemon{}, errors.Join(ctl, err)
	}
	d, err := lookAtDaemon(int(cred.Pid))
	if err == nil {
		return d, nil
	}
	// A socket that systemd opened has systemd's pid.
	if unit := os.Getenv("BEAMKEEPER_UNIT"); unit != "" || cred.Pid == 1 {
		if unit == "" {
			unit = "beamkeeper.service"
		}
		out, showErr := exec.Command("systemctl", "show", "--property", "MainPID", "--value", unit).Output()
		if pid, convErr := strconv.Atoi(strings.TrimSpace(string(out))); showErr == nil && convErr == nil && pid > 0 {
			return lookAtDaemon(pid)
		}
	}
	return d, err
}

var serviceUnit = regexp.MustCompile(`(?m)^0::.*/([^/\n]+\.service)$`)

func lookAtDaemon(pid int) (hostedDaemon, error) {
	d := hostedDaemon{pid: pid}
	proc := func(name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }
	program, err := os.Readlink(proc("exe"))
	if err != nil {
		return d, &api.Error{Code: api.CodeDenied, Message: fmt.Sprintf("the daemon's process (OS pid %d): %v", pid, err), Hint: "run it as root, or as the daemon's user", Err: err}
	}
	d.program = strings.TrimSuffix(program, " (deleted)")
	cmdline, err := os.ReadFile(proc("cmdline"))
	if err != nil {
		return d, err
	}
	d.args = strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	if pid == 1 || len(d.args) < 2 || !slices.Contains(d.args[1:], "run") {
		return d, api.Errorf(api.CodeFailed, "OS pid %d, behind the control socket, is no beamkeeper run: %q", pid, d.args)
	}
	environ, err := os.ReadFile(proc("environ"))
	if err != nil {
		return d, err
	}
	d.env = strings.Split(strings.TrimSuffix(string(environ), "\x00"), "\x00")
	if d.dir, err = os.Readlink(proc("cwd")); err != nil {
		return d, err
	}
	if out, err := os.Readlink(proc("fd/2")); err == nil && strings.HasPrefix(out, "/") {
		d.stderr = out
	}
	if cgroup, err := os.ReadFile(proc("cgroup")); err == nil {
		if m := serviceUnit.FindSubmatch(cgroup); m != nil && !strings.HasPrefix(string(m[1]), "user@") {
			d.unit = string(m[1])
		}
	}
	return d, nil
}

// restart has the program in d.program take the daemon's place.
func (d hostedDaemon) restart(ctx context.Context) error {
	if d.unit != "" {
		if out, err := exec.CommandContext(ctx, "systemctl", "restart", d.unit).CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl restart %s: %w: %s", d.unit, err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	now, err := lookAtDaemon(d.pid)
	if err == nil && strings.Join(now.args, " ") == strings.Join(d.args, " ") {
		return syscall.Kill(d.pid, executeSignal)
	}
	// It has ended: as its parent did, but in a session of its own.
	cmd := exec.Command(d.program, d.args[1:]...)
	cmd.Dir, cmd.Env = d.dir, d.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.stderr != "" {
		f, err := os.OpenFile(d.stderr, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			defer f.Close()
			cmd.Stdout, cmd.Stderr = f, f
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
