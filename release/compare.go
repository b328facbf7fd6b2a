package release

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Comparison is what differs between two releases of an app.
type Comparison struct {
	From    string         `json:"from"`
	To      string         `json:"to"`
	Apps    []AppChange    `json:"apps"` // those that differ, by name
	Config  ConfigChange   `json:"config"`
	ERTS    *VersionChange `json:"erts,omitempty"`
	OTP     *VersionChange `json:"otp,omitempty"`
	Elixir  *VersionChange `json:"elixir,omitempty"`
	Natives []string       `json:"natives,omitempty"` // paths in lib that are new, other, or gone
	Runtime bool           `json:"runtime_exs,omitempty"`
}

// VersionChange is a version that was another.
type VersionChange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// AppChange is what differs in one OTP application. From is empty for a new one, To for one that is gone.
type AppChange struct {
	Name        string   `json:"name"`
	From        string   `json:"from,omitempty"`
	To          string   `json:"to,omitempty"`
	Added       []string `json:"modules_added,omitempty"`
	Changed     []string `json:"modules_changed,omitempty"`
	Removed     []string `json:"modules_removed,omitempty"`
	Supervisors []string `json:"supervisors_changed,omitempty"` // of the changed modules
	Behaviours  []string `json:"without_code_change,omitempty"` // changed modules that keep state and export no code_change
	Private     bool     `json:"priv_changed,omitempty"`
	Up          bool     `json:"appup_up"`   // an appup leads there
	Down        bool     `json:"appup_down"` // and back
	Restart     bool     `json:"restart_emulator,omitempty"`
}

// same says whether nothing that runs differs.
func (a AppChange) same() bool {
	return a.From == a.To && len(a.Added)+len(a.Changed)+len(a.Removed) == 0 && !a.Private
}

// ConfigChange is which keys of sys.config differ, as app.key.
type ConfigChange struct {
	Added   []string `json:"added,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// stateful are the behaviours whose processes keep a state that new code must understand.
var stateful = []string{"gen_server", "gen_statem", "gen_event", "Elixir.GenServer", "Elixir.GenStage", "Elixir.GenEvent"}

// Compare says what differs between two releases.
func Compare(from, to Contents) Comparison {
	c := Comparison{
		From: from.Version, To: to.Version, Apps: []AppChange{}, Config: compareConfig(from.Config, to.Config),
		ERTS: change(from.ERTS, to.ERTS), OTP: change(from.OTP, to.OTP), Elixir: change(from.Elixir, to.Elixir),
		Runtime: from.Runtime != to.Runtime,
	}
	old := make(map[string]AppContents)
	for _, a := range from.Apps {
		old[a.Name] = a
	}
	for _, a := range to.Apps {
		before, known := old[a.Name]
		delete(old, a.Name)
		d := compareApp(before, a)
		if !known {
			d.From = ""
		}
		if !known || !d.same() {
			c.Apps = append(c.Apps, d)
		}
	}
	for _, a := range old {
		c.Apps = append(c.Apps, AppChange{Name: a.Name, From: a.Version})
	}
	slices.SortFunc(c.Apps, func(a, b AppChange) int { return strings.Compare(a.Name, b.Name) })
	c.Natives = compareNatives(from.Natives, to.Natives)
	return c
}

func change(from, to string) *VersionChange {
	if from == to {
		return nil
	}
	return &VersionChange{from, to}
}

func compareApp(from, to AppContents) AppChange {
	d := AppChange{Name: to.Name, From: from.Version, To: to.Version, Private: from.Private != to.Private}
	old := make(map[string]Module)
	for _, m := range from.Modules {
		old[m.Name] = m
	}
	for _, m := range to.Modules {
		before, known := old[m.Name]
		delete(old, m.Name)
		switch {
		case !known:
			d.Added = append(d.Added, m.Name)
		case before.Digest != m.Digest:
			d.Changed = append(d.Changed, m.Name)
			if m.Supervisor() || before.Supervisor() {
				d.Supervisors = append(d.Supervisors, m.Name)
			}
			if !m.CodeChange && slices.ContainsFunc(m.Behaviours, func(b string) bool { return slices.Contains(stateful, b) }) {
				d.Behaviours = append(d.Behaviours, m.Name)
			}
		}
	}
	for name := range old {
		d.Removed = append(d.Removed, name)
	}
	slices.Sort(d.Removed)
	up, down := to.Appup.Covers(from.Version)
	d.Up, d.Down = up != nil, down != nil
	d.Restart = up != nil && up.Restart
	return d
}

func compareConfig(from, to []ConfigEntry) ConfigChange {
	var c ConfigChange
	old := make(map[string]string)
	for _, e := range from {
		old[e.App+"."+e.Key] = e.Digest
	}
	for _, e := range to {
		key := e.App + "." + e.Key
		before, known := old[key]
		delete(old, key)
		switch {
		case !known:
			c.Added = append(c.Added, key)
		case before != e.Digest:
			c.Changed = append(c.Changed, key)
		}
	}
	for key := range old {
		c.Removed = append(c.Removed, key)
	}
	slices.Sort(c.Removed)
	return c
}

// compareNatives compares those of applications, whose folders have other names in every version; those of ERTS change
// with its version.
func compareNatives(from, to []Native) []string {
	place := func(n Native) string {
		parts := strings.SplitN(n.Path, "/", 3)
		if len(parts) < 3 || parts[0] != "lib" {
			return ""
		}
		app, _, _ := strings.Cut(parts[1], "-")
		return app + "/" + parts[2]
	}
	old := make(map[string]string)
	for _, n := range from {
		old[place(n)] = n.Digest
	}
	delete(old, "")
	var differ []string
	for _, n := range to {
		p := place(n)
		if p == "" {
			continue
		}
		if old[p] != n.Digest {
			differ = append(differ, p)
		}
		delete(old, p)
	}
	for p := range old {
		differ = append(differ, p)
	}
	slices.Sort(differ)
	return differ
}

// Verdicts.
const (
	Hot     = "HOT"     // the running VM can take the new release
	Full    = "FULL"    // new instances replace the old ones
	Refused = "REFUSED" // it would not run here, or is not this app
	Same    = "SAME"    // nothing that runs differs
)

// Verdict is how one release can follow another, and why.
type Verdict struct {
	Verdict string   `json:"verdict"`
	Reasons []Reason `json:"reasons"` // what stops HOT, or why it is refused
	Notes   []string `json:"notes,omitempty"`
}

// Reason is one reason for a verdict.
type Reason struct {
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"` // what would have to change for HOT
}

// Judge says how to can follow from on a host. from may be nil: nothing runs yet.
func Judge(from *Contents, to Contents, host Host) Verdict {
	if refusals := refuse(from, to, host); len(refusals) > 0 {
		return Verdict{Verdict: Refused, Reasons: refusals, Notes: to.Warn}
	}
	v := Verdict{Verdict: Full, Reasons: []Reason{}, Notes: slices.Clone(to.Warn)}
	if from == nil {
		v.Reasons = append(v.Reasons, Reason{What: "nothing runs that could be upgraded"})
		return v
	}
	c := Compare(*from, to)
	if from.Version == to.Version && len(c.Apps) == 0 && len(c.Natives) == 0 && c.ERTS == nil && !c.Runtime && c.Config.empty() {
		v.Verdict = Same
		return v
	}
	v.Reasons = append(v.Reasons, against(*from, to, c)...)
	v.Notes = append(v.Notes, notes(c)...)
	if len(v.Reasons) == 0 {
		v.Verdict = Hot
	}
	return v
}

func (c ConfigChange) empty() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) == 0 }

func refuse(from *Contents, to Contents, host Host) []Reason {
	var list []Reason
	if from != nil && from.Name != to.Name {
		list = append(list, Reason{What: fmt.Sprintf("it is a release of %q, not of %q", to.Name, from.Name), Remedy: "publish it under its own name"})
	}
	return append(list, host.refuses(to)...)
}

// refuses says what of a release cannot run on the host.
func (h Host) refuses(to Contents) (list []Reason) {
	add := func(remedy, format string, args ...any) {
		list = append(list, Reason{What: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	bundled := make(map[string]bool)
	for _, n := range to.Natives {
		bundled[path.Base(n.Path)] = true
	}
	loader := ownLoader(to.Natives)
	newer := make(map[string][]string) // by version of the C library: what needs it
	lacking := make(map[string][]string)
	machine := false
	for _, n := range to.Natives {
		program := strings.Contains(n.Path, "/bin/") || strings.HasPrefix(n.Path, "erts-")
		switch {
		case n.Machine != h.Machine && program && !machine:
			machine = true // said once
			add("build it for "+h.Machine, "%s is for %s, this host is %s", n.Path, n.Machine, h.Machine)
		case n.Machine != h.Machine: // a library for another machine beside one for ours is never loaded
		case loader != "": // and its own C library
		default:
			if h.GLIBC != "" && n.GLIBC != "" && compareNumbers(n.GLIBC, h.GLIBC) > 0 {
				newer[n.GLIBC] = append(newer[n.GLIBC], n.Path)
			}
			for _, lib := range h.missing(n, bundled) {
				lacking[lib] = append(lacking[lib], n.Path)
			}
		}
	}
	if _, err := os.Stat(loader); loader != "" && err != nil && h.here {
		add("build it for this host's distribution", "its programs are started by %s, which this host does not have", loader)
	}
	for _, v := range slices.SortedFunc(maps.Keys(newer), compareNumbers) {
		add("build the release on this host's distribution, or an older one", "%s needs glibc %s, this host has %s", some(newer[v]), v, h.GLIBC)
	}
	for _, lib := range slices.Sorted(maps.Keys(lacking)) {
		add("install it", "%s needs %s, which this host does not have", some(lacking[lib]), lib)
	}
	return list
}

// against is what stops a hot upgrade.
func against(from, to Contents, c Comparison) []Reason {
	var list []Reason
	add := func(remedy, format string, args ...any) {
		list = append(list, Reason{What: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if to.Language == Gleam && len(to.Relup) == 0 {
		add("ship a relup, or appups", "a Gleam shipment has no release for release_handler to install")
		return list
	}
	if c.ERTS != nil {
		add("build both with the same Erlang/OTP", "ERTS is %s, was %s: the VM itself must be another", to.ERTS, from.ERTS)
	}
	if from.Version == to.Version {
		add("give every release its own version", "the release has other contents under the same version %s", to.Version)
	}
	if !slices.ContainsFunc(from.Apps, func(a AppContents) bool { return a.Name == "sasl" }) {
		add("add sasl to the release's applications", "the running release has no sasl, and so no release_handler")
	}
	shipped := slices.Contains(to.Relup, from.Version)
	for _, a := range c.Apps {
		switch {
		case a.Name == "kernel" || a.Name == "stdlib" || a.Name == "erts":
			add("build both with the same Erlang/OTP", "%s is %s, was %s: a change of it restarts the VM", a.Name, a.To, a.From)
		case a.From == "" || a.To == "":
			// systools starts or stops it
		case a.From == a.To:
			add("give "+a.Name+" a new version, and an appup", "%s has other modules under the same version %s (%s)", a.Name, a.To, some(append(append(slices.Clone(a.Added), a.Changed...), a.Removed...)))
		case shipped:
		case !a.Up:
			add(fmt.Sprintf("an appup of %s that leads from %s", a.Name, a.From), "%s %s → %s has no appup", a.Name, a.From, a.To)
		case a.Restart:
			add("another appup", "the appup of %s restarts the VM", a.Name)
		}
	}
	for _, n := range c.Natives {
		add("keep the library as it is, or deploy fully", "the native library %s differs: a loaded one stays until its module is purged", n)
	}
	return list
}

// notes are what is worth knowing of an upgrade that goes.
func notes(c Comparison) []string {
	var list []string
	for _, a := range c.Apps {
		if a.From != "" && a.To != "" && a.Up && !a.Down {
			list = append(list, fmt.Sprintf("%s has no way back: its appup leads up from %s and not down to it", a.Name, a.From))
		}
		if len(a.Supervisors) > 0 {
			list = append(list, fmt.Sprintf("supervisors of %s changed (%s): new children are not started by an upgrade of the code alone", a.Name, some(a.Supervisors)))
		}
		if len(a.Behaviours) > 0 {
			list = append(list, fmt.Sprintf("changed modules of %s that keep a state have no code_change (%s)", a.Name, some(a.Behaviours)))
		}
	}
	if c.Runtime {
		list = append(list, "runtime.exs differs: it is evaluated with the old code at an upgrade")
	}
	return list
}

// some names the first few.
func some(names []string) string {
	const few = 4
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
