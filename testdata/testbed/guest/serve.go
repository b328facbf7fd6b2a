package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// request asks for a program to be run. Requests run side by side.
type request struct {
	ID        int      `json:"id"`
	Args      []string `json:"args"`
	Input     string   `json:"input"`
	TimeoutMS int      `json:"timeout_ms"`
}

// answer is what became of it. Code is -1 when it could not be run, or ran too long; Error says why.
type answer struct {
	ID     int    `json:"id"`
	Output string `json:"output"` // of both streams
	Code   int    `json:"code"`
	Error  string `json:"error,omitempty"`
}

// serve answers the requests of the host. ID 0 is the greeting.
func serve(port string) error {
	f, err := os.OpenFile(port, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(f)
	send := func(a answer) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(a) // the host may be gone
	}
	send(answer{Output: "up"})
	in := bufio.NewScanner(f)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return err
		}
		go func() { send(r.run()) }()
	}
	return in.Err()
}

func (r request) run() answer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.TimeoutMS)*time.Millisecond)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Args[0], r.Args[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"}
	cmd.Stdin = strings.NewReader(r.Input)
	cmd.WaitDelay = time.Second // programs that it left behind may hold its output
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	a := answer{ID: r.ID, Output: out.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		a.Code, a.Error = -1, err.Error()
	}
	return a
}
