package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// EnvRun marks a program that is run to its end, and all that it starts. It is no instance: Find does not see it.
const EnvRun = "BEAMKEEPER_RUN"

// lingering is how long the output of what a program left running is waited for.
const lingering = time.Second

// Run runs a program that is no instance to its end, in a session of its own, as user and group of c and through c.Enter.
// Its environment must hold BEAMKEEPER_RUN, and no BEAMKEEPER_INSTANCE. It reads stdin (nil: nothing) and writes both its
// outputs to out. When it has ended, or ctx ends, all of its session and all that has its mark is killed.
//
// The exit is not Known when the program could not be started or ctx ended first; the error says which. An exit code
// other than 0 is no error.
func Run(ctx context.Context, c Command, stdin io.Reader, out io.Writer) (Exit, error) {
	mark := lookupEnv(c.Env, EnvRun)
	if mark == "" || lookupEnv(c.Env, EnvInstance) != "" {
		return Exit{}, fmt.Errorf("process: run %s: the environment has no %s, or is an instance's", c.Path, EnvRun)
	}
	credential, err := c.credential()
	if err != nil {
		return Exit{}, fmt.Errorf("process: run: %w", err)
	}
	if c.Dir == "" {
		c.Dir = "/"
	}
	attr := &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true, Credential: credential}}
	path, argv, err := c.enter(attr)
	if err != nil {
		return Exit{}, fmt.Errorf("process: run: %w", err)
	}
	deadline := time.Now().Add(2 * time.Second)
	var cmd *exec.Cmd
	for {
		cmd = &exec.Cmd{Path: path, Args: argv, Env: c.Env, Dir: c.Dir, Stdin: stdin, Stdout: out, Stderr: out, SysProcAttr: attr.Sys, WaitDelay: lingering}
		err = cmd.Start()
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(deadline) {
			break
		}
		time.Sleep(5 * time.Millisecond) // as startProcess
	}
	if err != nil {
		return Exit{}, fmt.Errorf("process: run: %w", explainStart(c, err))
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = killRun(kill, mark, cmd.Process.Pid)
		<-ended
		return Exit{At: time.Now()}, errors.Join(ctx.Err(), err)
	}
	e := Exit{At: time.Now()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		e = exitOf(ws, e.At)
	}
	kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var exit *exec.ExitError
	if errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return e, errors.Join(err, killRun(kill, mark, cmd.Process.Pid))
}

// KillRun kills all that has the mark of a program that an earlier daemon ran.
func KillRun(ctx context.Context, mark string) error { return killRun(ctx, mark, 0) }

// killRun kills what has the mark, and the session, until nothing is left or ctx ends. While the session has members its
// number is nobody else's.
func killRun(ctx context.Context, mark string, session int) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		var left []Member
		err := eachStat(func(s stat) {
			if !s.alive() || s.comm == epmdComm || s.pid == os.Getpid() {
				return
			}
			if session == 0 || s.session != session {
				env, err := readEnviron(s.pid)
				if err != nil || env.value(EnvRun) != mark {
					return
				}
			}
			left = append(left, Member{OSPID: s.pid, StartTime: s.start, Comm: s.comm, Main: s.pid == session})
		})
		if err != nil {
			return fmt.Errorf("process: %w", err)
		}
		if len(left) == 0 {
			return nil
		}
		_, err = signalAll(left, syscall.SIGKILL)
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("process: still there: %s: %w", describe(left), ctx.Err()), err)
		case <-time.After(pause):
		}
	}
}
