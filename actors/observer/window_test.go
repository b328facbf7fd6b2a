package observer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// screen is an X display without hardware, with a window manager.
func screen(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
	x.ExtraFiles = []*os.File{w}
	start(t, x)
	w.Close()
	var display int
	r.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fscan(r, &display); err != nil {
		t.Fatalf("Xvfb: %v", err)
	}
	t.Setenv("DISPLAY", fmt.Sprintf(":%d", display))
	start(t, exec.Command("openbox"))
}

func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// titles are those of the windows on the screen.
func titles(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("xdotool", "search", "--onlyvisible", "--name", ".+", "getwindowname", "%@").Output()
	if err != nil {
		return nil // none
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name := strings.TrimSpace(line); name != "" && name != "Openbox" && name != "Erlang" {
			names = append(names, name)
		}
	}
	return names
}

func shoot(t *testing.T, name string) {
	dir := os.Getenv("OBSERVER_SHOTS")
	if dir == "" {
		return
	}
	if out, err := exec.Command("import", "-window", "root", filepath.Join(dir, name+".png")).CombinedOutput(); err != nil {
		t.Logf("screenshot %s: %v\n%s", name, err, out)
	}
}

// A real Observer in a window shows every tab of the node without a dialog and without dying.
func TestWindow_ShowsEveryTab(t *testing.T) {
	for _, tool := range []string{"Xvfb", "openbox", "xdotool", "import"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REQUIRE_OTP") == "1" {
				t.Fatalf("no %s; testdata/testbed/install.sh test installs it", tool)
			}
			t.Skipf("no %s", tool)
		}
	}
	otp := nodetest.Want(t, "25")[0]
	screen(t)
	epmd := nodetest.StartEPMD(t)
	newWorld(t, epmd, nil)
	b := nodetest.StartErl(t, otp, "watcher", cookie, epmd, "-hidden")
	if b.Eval(`{code:which(observer_wx) =/= non_existing, code:which(wx) =/= non_existing}.`) != "{true,true}" {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatal("this OTP has no observer or wx; testdata/testbed/install.sh test installs them")
		}
		t.Skip("OTP without observer or wx")
	}
	b.Eval(`pong = net_adm:ping(keeper@localhost), ok = observer:start(), observer ! {get_debug_info, self()},
		{Env, Tabs} = receive {observer_debug, E, N, _} -> {E, N} after 30000 -> exit(no_observer) end, wx:set_env(Env), ok.`)
	// Nodes → keeper@localhost, the first by name.
	b.Eval(`observer ! {wx, 1001, undefined, [], {wxCommand, command_menu_selected, "", 0, 0}}, ok.`)
	main := "Observer - keeper@localhost"
	await(t, "the node is chosen", func() bool { return slices.Contains(titles(t), main) })

	count := 0
	fmt.Sscan(b.Eval(`wxNotebook:getPageCount(Tabs).`), &count)
	if count < 9 {
		t.Fatalf("Observer has %d tabs", count)
	}
	check := func(what string, allowed ...string) {
		t.Helper()
		for _, title := range titles(t) {
			if title != main && !slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(title, a) }) {
				t.Errorf("%s opens a window %q", what, title)
			}
		}
		if out := b.Output(); strings.Contains(out, "crashed") || strings.Contains(out, "terminating") || strings.Contains(out, "CRASH REPORT") {
			t.Fatalf("%s makes Observer crash:\n%s", what, out)
		}
	}
	for i := range count {
		name := strings.Trim(b.Eval(fmt.Sprintf(`wxNotebook:setSelection(Tabs, %d), wxNotebook:getPageText(Tabs, %d).`, i, i)), `"`)
		for range 8 { // a while in which it could go wrong; there is nothing to wait for when all is well
			time.Sleep(200 * time.Millisecond)
			check(name)
		}
		shoot(t, fmt.Sprintf("%d-%s", i, strings.ReplaceAll(name, " ", "-")))
	}
	b.Eval(`observer ! {open_link, rpc:call(keeper@localhost, erlang, whereis, [front_desk])}, ok.`)
	window := "keeper@localhost:front_desk"
	await(t, "the process window", func() bool {
		check("the process window", window)
		return slices.ContainsFunc(titles(t), func(s string) bool { return strings.HasPrefix(s, window) })
	})
	shoot(t, "process")
	check("the process window", window)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s; windows: %q", what, titles(t))
		}
	}
}
