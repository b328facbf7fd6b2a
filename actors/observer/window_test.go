package observer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// A real Observer in a window, of both OTPs whose wx the test bed has, shows every tab of the node, sorts, opens windows for
// what is in the tabs and takes no for an answer in its Trace Overview, without a dialog that tells an error and without dying.
func TestWindow_ShowsEveryTab(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"Xvfb", "openbox", "xdotool", "import"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REQUIRE_OTP") == "1" {
				t.Fatalf("no %s; testdata/testbed/install.sh test installs it", tool)
			}
			t.Skipf("no %s", tool)
		}
	}
	for _, otp := range nodetest.Want(t, "25", "27") {
		t.Run("OTP"+otp.Release, func(t *testing.T) {
			t.Parallel()
			s := openScreen(t, otp.Release)
			epmd := nodetest.StartEPMD(t)
			w := newWorld(t, epmd, nil)
			s.beam = nodetest.StartErl(t, otp, "watcher", cookie, epmd, "-hidden", "-env", "DISPLAY", s.display)
			if s.beam.Eval(`{code:which(observer_wx) =/= non_existing, code:which(wx) =/= non_existing}.`) != "{true,true}" {
				if os.Getenv("REQUIRE_OTP") == "1" {
					t.Fatal("this OTP has no observer or wx; testdata/testbed/install.sh test installs them")
				}
				t.Skip("OTP without observer or wx")
			}
			s.open()
			s.walk()
			s.charts()
			s.sort()
			s.processWindow()
			s.ports()
			s.tables()
			s.trace()
			s.check("all of it")
			if got := s.beam.Eval(`net_adm:ping(keeper@localhost).`); got != "pong" || len(w.node.Peers()) != 1 {
				t.Errorf("afterwards the node is %s, with the peers %v", got, w.node.Peers())
			}
		})
	}
}

const mainTitle = "Observer - keeper@localhost"

// screen is an X display without hardware, with a window manager and an Observer on it.
type screen struct {
	t       *testing.T
	otp     string
	display string
	beam    *nodetest.Erl
	count   int      // tabs
	opened  []string // beginnings of the titles of windows that are meant to be there
}

func openScreen(t *testing.T, otp string) *screen {
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
	var number int
	r.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fscan(r, &number); err != nil {
		t.Fatalf("Xvfb: %v", err)
	}
	s := &screen{t: t, otp: otp, display: fmt.Sprintf(":%d", number)}
	start(t, s.command("openbox"))
	return s
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

// command is a program on this screen.
func (s *screen) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DISPLAY="+s.display)
	return cmd
}

// titles are those of the windows on the screen.
func (s *screen) titles() []string {
	s.t.Helper()
	out, err := s.command("xdotool", "search", "--onlyvisible", "--name", ".+", "getwindowname", "%@").Output()
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

// shows tells whether there is a window whose title begins so.
func (s *screen) shows(title string) bool {
	return slices.ContainsFunc(s.titles(), func(name string) bool { return strings.HasPrefix(name, title) })
}

// shoot keeps a picture in the folder OBSERVER_SHOTS.
func (s *screen) shoot(name string) {
	s.t.Helper()
	dir := os.Getenv("OBSERVER_SHOTS")
	if dir == "" {
		return
	}
	if out, err := s.command("import", "-window", "root", filepath.Join(dir, s.otp+"-"+name+".png")).CombinedOutput(); err != nil {
		s.t.Errorf("screenshot %s: %v\n%s", name, err, out)
	}
}

// pixels are those of the screen, three bytes each.
func (s *screen) pixels() []byte {
	s.t.Helper()
	out, err := s.command("import", "-window", "root", "-depth", "8", "rgb:-").Output()
	if err != nil {
		s.t.Fatalf("screenshot: %v", err)
	}
	return out
}

// await waits, while nothing goes wrong.
func (s *screen) await(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(100 * time.Millisecond) {
		s.check(what)
		if time.Now().After(deadline) {
			s.shoot("in-vain")
			s.t.Fatalf("waited in vain for %s; windows: %q", what, s.titles())
		}
	}
}

// check finds dialogs and crashes.
func (s *screen) check(what string) {
	s.t.Helper()
	for _, title := range s.titles() {
		if title != mainTitle && !slices.ContainsFunc(s.opened, func(a string) bool { return strings.HasPrefix(title, a) }) {
			s.shoot("dialog")
			s.t.Fatalf("%s opens a window %q", what, title)
		}
	}
	if out := s.beam.Output(); strings.Contains(out, "crashed") || strings.Contains(out, "terminating") || strings.Contains(out, "CRASH REPORT") {
		s.t.Fatalf("%s makes Observer crash:\n%s", what, out)
	}
}

// watch checks for a while in which it could go wrong; there is nothing to wait for when all is well.
func (s *screen) watch(what string) {
	s.t.Helper()
	for range 4 {
		time.Sleep(200 * time.Millisecond)
		s.check(what)
	}
}

// click is one of the mouse, in the middle of what the expression gives as {X, Y, Width, Height} on the screen.
func (s *screen) click(times int, where string) {
	s.t.Helper()
	var x, y, w, h int
	s.await("a place to click: "+where, func() bool {
		at, err := s.beam.TryEval(where)
		if err != nil {
			return false
		}
		_, err = fmt.Sscanf(at, "{%d,%d,%d,%d}", &x, &y, &w, &h)
		return err == nil && w > 0 && h > 0
	})
	cmd := s.command("xdotool", "mousemove", strconv.Itoa(x+w/2), strconv.Itoa(y+h/2), "click", "--repeat", strconv.Itoa(times), "--delay", "60", "1")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("click: %v\n%s", err, out)
	}
}

// open starts Observer and has it show the node.
func (s *screen) open() {
	s.t.Helper()
	s.beam.Eval(`pong = net_adm:ping(keeper@localhost), ok = observer:start(), observer ! {get_debug_info, self()},
		{Env, Tabs} = receive {observer_debug, E, N, _} -> {E, N} after 30000 -> exit(no_observer) end, wx:set_env(Env), ok.`)
	// The place of a window; the list in a tab or a window; its rows' text in a column; the place of a header, and of a row.
	s.beam.Eval(`Place = fun(W) -> {X, Y} = wxWindow:getScreenPosition(W), {Wd, H} = wxWindow:getSize(W), {X, Y, Wd, H} end.`)
	s.beam.Eval(`Labelled = fun(Text) -> Place(wxWindow:findWindowByLabel(Text)) end.`)
	s.beam.Eval(`List = fun Find(W) -> case string:lowercase(wxWindow:getName(W)) of
		"listctrl" -> [wx:typeCast(W, wxListCtrl)];
		_ -> lists:append([Find(C) || C <- wxWindow:getChildren(W)]) end end.`)
	s.beam.Eval(`Tab = fun() -> wxNotebook:getCurrentPage(Tabs) end.`)
	s.beam.Eval(`Column = fun(L, C) -> [wxListCtrl:getItemText(L, R, [{col, C}]) || R <- lists:seq(0, wxListCtrl:getItemCount(L) - 1)] end.`)
	s.beam.Eval(`Header = fun(L, C) -> {X, Y, _, _} = Place(L), {X + lists:sum([wxListCtrl:getColumnWidth(L, N) || N <- lists:seq(0, C - 1)]), Y, wxListCtrl:getColumnWidth(L, C), 20} end.`)
	s.beam.Eval(`Row = fun(L, R) -> {X, Y} = wxWindow:getScreenPosition(L), {true, {Rx, Ry, _, H}} = wxListCtrl:getItemRect(L, R), {X + Rx, Y + Ry, 60, H} end.`)
	// Nodes → keeper@localhost, the first by name.
	s.beam.Eval(`observer ! {wx, 1001, undefined, [], {wxCommand, command_menu_selected, "", 0, 0}}, ok.`)
	for deadline := time.Now().Add(30 * time.Second); !s.shows(mainTitle); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the node is not chosen; windows: %q", s.titles())
		}
	}
	fmt.Sscan(s.beam.Eval(`wxNotebook:getPageCount(Tabs).`), &s.count)
	if s.count < 9 {
		s.t.Fatalf("Observer has %d tabs", s.count)
	}
}

// walk goes through the tabs.
func (s *screen) walk() {
	s.t.Helper()
	for i := range s.count {
		name := strings.Trim(s.beam.Eval(fmt.Sprintf(`wxNotebook:setSelection(Tabs, %d), wxNotebook:getPageText(Tabs, %d).`, i, i)), `"`)
		s.watch(name)
		s.shoot(fmt.Sprintf("%d-%s", i, strings.ReplaceAll(name, " ", "-")))
	}
}

// choose opens a tab by its name.
func (s *screen) choose(tab string) {
	s.t.Helper()
	s.beam.Eval(fmt.Sprintf(`(fun([N]) -> wxNotebook:setSelection(Tabs, N) end)([I || I <- lists:seq(0, %d), wxNotebook:getPageText(Tabs, I) =:= %q]).`, s.count-1, tab))
}

// charts waits until the Load Charts move.
func (s *screen) charts() {
	s.t.Helper()
	s.choose("Load Charts")
	last := s.pixels()
	moved := 0
	s.await("charts that move", func() bool {
		if now := s.pixels(); differ(last, now) > 600 {
			last = now
			moved++
		}
		return moved == 3
	})
	s.shoot("charts")
}

// differ counts the bytes that are not the same.
func differ(a, b []byte) (n int) {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// column is what a list shows in one column.
func (s *screen) column(list string, n int) []string {
	s.t.Helper()
	texts, err := s.beam.TryEval(fmt.Sprintf(`lists:flatten(lists:join("|", Column(%s, %d))).`, list, n))
	if err != nil {
		return nil // there is no such list yet
	}
	return strings.Split(strings.Trim(texts, `"`), "|")
}

// sort clicks on the heads of columns.
func (s *screen) sort() {
	s.t.Helper()
	s.choose("Processes")
	const list = "hd(List(Tab()))"
	s.await("processes", func() bool { return slices.Contains(s.column(list, 1), "front_desk") })
	for _, c := range []int{1, 5} { // name, current function
		head := fmt.Sprintf("Header(%s, %d).", list, c)
		s.click(1, head)
		s.await(fmt.Sprintf("order by column %d", c), func() bool { return ordered(s.column(list, c)) != 0 })
		was := ordered(s.column(list, c))
		s.watch("sorting") // so that two clicks are no double click
		s.click(1, head)
		s.await(fmt.Sprintf("the other order by column %d", c), func() bool { return ordered(s.column(list, c)) == -was })
		s.watch("sorting")
	}
	s.shoot("sorted")
}

// ordered is 1 or -1 for a list of names and functions that rises or falls as texts (OTP 25) or as terms, else 0.
func ordered(list []string) int {
	terms := func(a, b string) int {
		if x, y := strings.Contains(a, ":"), strings.Contains(b, ":"); x != y { // tuples are more than atoms
			return map[bool]int{true: 1, false: -1}[x]
		}
		return strings.Compare(a, b)
	}
	for _, compare := range []func(a, b string) int{strings.Compare, terms} {
		if slices.IsSortedFunc(list, compare) {
			return 1
		}
		if slices.IsSortedFunc(list, func(a, b string) int { return compare(b, a) }) {
			return -1
		}
	}
	return 0
}

// processWindow opens a process with the mouse and goes through the tabs of its window.
func (s *screen) processWindow() {
	s.t.Helper()
	const title = "keeper@localhost:front_desk"
	s.opened = append(s.opened, title)
	row := slices.Index(s.column("hd(List(Tab()))", 1), "front_desk")
	s.click(2, fmt.Sprintf("Row(hd(List(Tab())), %d).", row))
	s.await("the process window", func() bool { return s.shows(title) })
	pages := 0
	fmt.Sscan(s.beam.Eval(`Pages = wx:typeCast(wxWindow:findWindowById(604), wxNotebook), wxNotebook:getPageCount(Pages).`), &pages)
	if pages < 5 {
		s.t.Fatalf("the process window has %d tabs", pages)
	}
	for i := range pages {
		name := strings.Trim(s.beam.Eval(fmt.Sprintf(`wxNotebook:setSelection(Pages, %d), wxNotebook:getPageText(Pages, %d).`, i, i)), `"`)
		s.watch("the process window's " + name)
		s.shoot("process-" + strings.ReplaceAll(name, " ", "-"))
	}
	s.beam.Eval(`wxWindow:close(wxWindow:getParent(Pages)).`)
	s.await("the end of the process window", func() bool { return !s.shows(title) })
}

func (s *screen) ports() {
	s.t.Helper()
	s.choose("Ports")
	s.await("ports", func() bool { return slices.Contains(s.column("hd(List(Tab()))", 3), "tcp_inet") })
	const title = "Port Info:"
	s.opened = append(s.opened, title)
	s.click(2, "Row(hd(List(Tab())), 0).")
	s.await("the window of a port", func() bool { return s.shows(title) })
	s.shoot("port")
	s.choose("Sockets")
	s.watch("sockets")
}

// tables opens a table with the mouse.
func (s *screen) tables() {
	s.t.Helper()
	s.choose("Table Viewer")
	const title = "TV Ets: apps"
	s.opened = append(s.opened, title)
	s.await("tables", func() bool { return slices.Contains(s.column("hd(List(Tab()))", 0), "apps") })
	s.click(2, "Row(hd(List(Tab())), 0).")
	s.await("the table", func() bool { return s.shows(title) })
	s.shoot("table")
}

// trace has an actor traced, as its user would: chosen in the list of processes, started in the Trace Overview. Observer makes
// nothing of the refusal but a warning where it was started, and the log of the trace stays empty.
func (s *screen) trace() {
	s.t.Helper()
	s.choose("Processes")
	s.opened = append(s.opened, "Process Options", "Trace Log")
	row := slices.Index(s.column("hd(List(Tab()))", 1), "front_desk")
	s.click(1, fmt.Sprintf("Row(hd(List(Tab())), %d).", row))
	s.watch("choosing")
	s.beam.Eval(`observer ! {wx, 206, undefined, [], {wxCommand, command_menu_selected, "", 0, 0}}, ok.`) // Trace → Trace processes
	s.await("options", func() bool { return s.shows("Process Options") })
	s.shoot("trace-options")
	s.click(1, `Place(wxWindow:findWindowById(5100)).`) // OK
	s.await("the end of the options", func() bool { return !s.shows("Process Options") })
	s.choose("Trace Overview")
	s.await("what is to be traced", func() bool {
		return s.beam.Eval(`lists:member("keeper@localhost", lists:append([Column(L, 0) || L <- List(Tab())])).`) == "true"
	})
	s.shoot("trace-chosen")
	s.click(1, `Labelled("Start Trace").`)
	s.await("the log of the trace", func() bool { return s.shows("Trace Log") })
	s.await("the refusal", func() bool { return strings.Contains(s.beam.Output(), "not_allowed") })
	s.watch("a trace")
	s.shoot("trace-log")
	s.beam.Eval(`wxWindow:close(wxWindow:findWindowByLabel("Trace Log")).`) // which stops it
	s.await("the end of the trace", func() bool { return !s.shows("Trace Log") })
	s.await("no ttb", func() bool { return s.beam.Eval(`{whereis(ttb), whereis(dbg)}.`) == "{undefined,undefined}" })
}
