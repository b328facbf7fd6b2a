package applog

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// TestMain has the test binary play the writer of a log, and a daemon that is killed while it rotates.
func TestMain(m *testing.M) {
	switch os.Getenv("APPLOG_TEST_ROLE") {
	case "writer":
		writeNumbers(os.Stdout)
	case "rotator":
		rotateUntilKilled()
	default:
		os.Exit(m.Run())
	}
}

// writeNumbers writes a line a call, as fast as it can, until its standard input ends. It draws breath now and then, so that
// readers under the race detector keep up.
func writeNumbers(out io.Writer) {
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := fmt.Fprintf(out, "%d %s\n", i, strings.Repeat("x", i%97)); err != nil {
			os.Exit(1)
		}
		if i%5000 == 4999 {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

const testPart = 128 << 10

// rotateUntilKilled rotates whenever there is enough, and kills itself at the chosen step of the second rotation.
func rotateUntilKilled() {
	path, step := os.Getenv("APPLOG_TEST_PATH"), os.Getenv("APPLOG_TEST_STEP")
	noShift := os.Getenv("APPLOG_TEST_NOSHIFT") != ""
	if err := recoverFile(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for n := 0; n < 2; {
		if liveBytes(path) < testPart {
			time.Sleep(time.Millisecond)
			continue
		}
		r := rotation{path: path, part: testPart, now: time.Now(), noShift: noShift, step: func(s string) {
			if s == step && n == 1 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}}
		if _, err := r.run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		n++
	}
}

// liveBytes is how much of a log file is not archived.
func liveBytes(path string) int64 {
	list, err := spans(path)
	if err != nil || len(list) == 0 {
		return 0
	}
	return list[len(list)-1].end - list[len(list)-1].start
}

func playing(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "APPLOG_TEST_ROLE="+role), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// rawLines reads archives and live file as a person would: zcat and cat.
func rawLines(t *testing.T, path string) []string {
	t.Helper()
	list, err := archivesOf(path)
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, a := range list {
		if a.temp {
			t.Errorf("left over: %s", a.path)
		}
		f, err := openArchive(a.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, f); err != nil {
			t.Fatal(a.path, err)
		}
		f.Close()
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if h := parseHead(b); h.at > 0 {
		if h.pos != int64(all.Len()) {
			t.Errorf("the head says that %d bytes are archived, %d are", h.pos, all.Len())
		}
		b = b[h.at:]
	}
	all.Write(b)
	return strings.Split(strings.TrimSuffix(all.String(), "\n"), "\n")
}

// checkNumbers wants every number once, in order. The last line may be unfinished.
func checkNumbers(t *testing.T, what string, lines []string) {
	t.Helper()
	for i, l := range lines {
		number, _, _ := strings.Cut(l, " ")
		if number != strconv.Itoa(i) && i < len(lines)-1 {
			t.Fatalf("%s: line %d of %d is %.60q", what, i, len(lines), l)
		}
	}
}

// searchAllTheWhile reads everything again and again, and says what was wrong: each time the numbers must be whole up to some
// last one.
func searchAllTheWhile(ctx context.Context, path string) (wrong string) {
	for ctx.Err() == nil && wrong == "" {
		next, last := 0, 0
		err := Search(ctx, Query{Files: []File{{Path: path}}}, func(l Line) bool {
			number, _, _ := strings.Cut(l.Text, " ")
			if last != 0 && wrong == "" {
				wrong = fmt.Sprintf("line %d is not %.60q's", last, l.Text)
			}
			if number != strconv.Itoa(next) {
				last = next // the unfinished one, which must be the last
			}
			next++
			return true
		})
		if err != nil {
			return err.Error()
		}
		time.Sleep(200 * time.Millisecond)
	}
	return wrong
}

func fileSystems(t *testing.T) map[string]string {
	m := map[string]string{"here": t.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "applog"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		m["tmpfs"] = dir
	}
	return m
}

func TestRotation(t *testing.T) {
	t.Parallel()
	for name, dir := range fileSystems(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "shop-abc123-stdout.log")
			want := 0
			for round := range 5 {
				appendTo(t, path, numbered(want, want+3000))
				want += 3000
				mark := End(path)
				before, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				r := rotation{path: path, part: 100 << 10, now: time.Unix(int64(1_760_000_000+round), 0)}
				made, err := r.run()
				if err != nil || made < 2 {
					t.Fatalf("run = %d, %v", made, err)
				}
				if end := End(path); end != mark {
					t.Errorf("the rotation moved the end from %+v to %+v", mark, end)
				}
				st, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				blocks := st.Sys().(*syscall.Stat_t).Blocks * 512
				if blocks > 16<<10 || st.Mode() != before.Mode() {
					t.Errorf("the live file takes %d bytes of the disk, mode %v", blocks, st.Mode())
				}
				if name == "here" && st.Size() > 8<<10 {
					t.Logf("%d bytes are left: no collapse range here", st.Size())
				}
				if made, err := r.run(); made != 0 || err != nil {
					t.Errorf("again: %d archives, %v", made, err)
				}
			}
			all := strings.Split(strings.TrimSuffix(numbered(0, want), "\n"), "\n")
			if got := rawLines(t, path); !slices.Equal(got, all) {
				t.Errorf("archives and live file have %d lines, want %d", len(got), len(all))
			}
			if got := readAll(t, path, Query{}); !slices.Equal(got, all) {
				t.Errorf("Search gives %d lines, want %d", len(got), len(all))
			}
			for _, n := range []int{1, 50, 2000, 14000} {
				if got := readAll(t, path, Query{Lines: n}); !slices.Equal(got, all[len(all)-n:]) {
					t.Errorf("the last %d: %d lines, the first %.60q", n, len(got), got[:min(1, len(got))])
				}
			}
		})
	}
}

// Each step of a rotation is a place where the daemon may be killed. Nothing is lost or there twice, for a reader either who
// follows all the while.
func TestRotation_Killed(t *testing.T) {
	t.Parallel()
	steps := []string{stepArchiving, stepArchived, stepMarked, stepNamed, stepFilled, stepDropped}
	for _, kind := range []string{"process, collapse", "process, hole", "BEAM, collapse"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "shop-abc123-stdout.log")
			out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
			if err != nil {
				t.Fatal(err)
			}
			writer := playing(t, "writer")
			if strings.HasPrefix(kind, "BEAM") {
				otp := nodetest.Want(t, "25")[0]
				writer = exec.Command(filepath.Join(otp.Bin, "erl"), "-noshell", "-eval",
					`F = fun F(N) -> io:put_chars([integer_to_list(N), $\s, lists:duplicate(N rem 97, $x), $\n]), F(N + 1) end, spawn(fun() -> F(0) end), eof = io:get_line(""), halt(0).`)
				writer.Env = otp.Env("HOME=" + t.TempDir())
			}
			writer.Stdout = out
			in, err := writer.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := writer.Start(); err != nil {
				t.Fatal(err)
			}
			out.Close()
			ended := make(chan error, 1)
			go func() { ended <- writer.Wait() }()
			defer func() { _ = writer.Process.Kill() }()

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var followed []string
			var seen atomic.Int64
			reading := make(chan error, 1)
			go func() {
				reading <- Search(ctx, Query{Files: []File{{Path: path}}, Follow: true}, func(l Line) bool {
					followed = append(followed, l.Text)
					seen.Add(1)
					return true
				})
			}()

			searching := make(chan string, 1)
			go func() { searching <- searchAllTheWhile(ctx, path) }()

			for _, step := range steps {
				env := []string{"APPLOG_TEST_PATH=" + path, "APPLOG_TEST_STEP=" + step}
				if strings.HasSuffix(kind, "hole") {
					env = append(env, "APPLOG_TEST_NOSHIFT=1")
				}
				err := playing(t, "rotator", env...).Run()
				if e, ok := err.(*exec.ExitError); !ok || e.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the rotator at step %s: %v, want it killed", step, err)
				}
			}
			in.Close()
			select {
			case <-ended:
			case <-time.After(30 * time.Second):
				t.Fatal("the writer does not end")
			}
			if err := recoverFile(path); err != nil {
				t.Fatal(err)
			}
			lines := rawLines(t, path)
			checkNumbers(t, "archives and live file", lines)
			checkNumbers(t, "Search", readAll(t, path, Query{}))
			list, err := archivesOf(path)
			if err != nil || len(list) < 2*len(steps)-2 {
				t.Errorf("%d archives, %v", len(list), err)
			}
			// An unfinished last line is not followed: the last that is whole ends it.
			whole := len(lines)
			if b, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(b, []byte("\n")) {
				whole--
			}
			for deadline := time.Now().Add(30 * time.Second); int(seen.Load()) < whole && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			cancel()
			if wrong := <-searching; wrong != "" {
				t.Errorf("a search meanwhile: %s", wrong)
			}
			if err := <-reading; err != nil {
				t.Fatal(err)
			}
			checkNumbers(t, "following", followed)
			if len(followed) != whole {
				t.Errorf("following gave %d of %d lines", len(followed), whole)
			}
			t.Logf("%d lines, %d archives", len(lines), len(list))
		})
	}
}

// A rotation that was cut off after its archives counted is ended: the space is free, and nothing is archived twice.
func TestRotation_RecoveryFreesTheSpace(t *testing.T) {
	t.Parallel()
	for _, step := range []string{stepMarked, stepNamed, stepFilled} {
		for _, noShift := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "shop-abc123-stdout.log")
			appendTo(t, path, numbered(0, 3000))
			r := rotation{path: path, part: 100 << 10, now: time.Now(), noShift: noShift}
			r.step = func(s string) {
				if s == step {
					panic(step)
				}
			}
			func() {
				defer func() { _ = recover() }()
				_, err := r.run()
				t.Errorf("it was not cut off: %v", err)
			}()
			if err := recoverFile(path); err != nil {
				t.Fatal(err)
			}
			st, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := onDisk(st); n > 16<<10 {
				t.Errorf("cut off when %s: the live file takes %d bytes of the disk", step, n)
			}
			if got := rawLines(t, path); len(got) != 3000 {
				t.Errorf("cut off when %s: %d lines", step, len(got))
			}
			if err := recoverFile(path); err != nil {
				t.Errorf("again: %v", err)
			}
			if got := readAll(t, path, Query{}); len(got) != 3000 {
				t.Errorf("cut off when %s: Search gives %d lines", step, len(got))
			}
		}
	}
}

// Archives are cut between entries: a crash has its stack with it.
func TestRotation_KeepsEntriesWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop-abc123-stdout.log")
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "09:00:00.%03d [error] crash %d\n%s", i%1000, i, strings.Repeat("    (stdlib 4.0) gen_server.erl:1: some/3\n", 1+i%9))
	}
	appendTo(t, path, b.String())
	if made, err := (rotation{path: path, part: 60 << 10, now: time.Now()}).run(); err != nil || made < 5 {
		t.Fatal(made, err)
	}
	list, err := archivesOf(path)
	if err != nil {
		t.Fatal(err)
	}
	begins := []string{}
	for _, a := range list {
		f, err := openArchive(a.path)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(f).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		begins = append(begins, line)
	}
	live, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begins = append(begins, string(live[parseHead(live).at:]))
	for _, l := range begins {
		if !strings.HasPrefix(l, "09:00:") {
			t.Errorf("a piece begins with %.60q", l)
		}
	}
}

// recoverFile is recoverRotation of a file as it is found.
func recoverFile(path string) error {
	list, err := archivesOf(path)
	if err != nil {
		return err
	}
	return recoverRotation(path, list)
}
