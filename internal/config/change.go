package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Class says when a changed setting counts.
type Class string

// The classes, from the one that disturbs least.
const (
	ClassNone           Class = "none"            // it has no effect in this version
	ClassImmediate      Class = "immediate"       // at once
	ClassNextStart      Class = "next_start"      // from the next deployment, or the next start of an instance, on
	ClassRollingRestart Class = "rolling_restart" // instances are replaced one after the other
	ClassDaemonRestart  Class = "daemon_restart"  // when the daemon is started again; the instances run on meanwhile
)

// classes gives each key its class. A key that stands for a list or an optional section speaks for all in it. Keys that
// this version accepts without effect need no class. A test finds keys without one.
var classes = map[string]Class{
	"account_name":           ClassDaemonRestart,
	"hostname":               ClassDaemonRestart,
	"release_adapter":        ClassDaemonRestart,
	"release_bucket":         ClassDaemonRestart,
	"aws_region":             ClassDaemonRestart,
	"google_credentials":     ClassDaemonRestart,
	"secrets_adapter":        ClassDaemonRestart,
	"install_path":           ClassDaemonRestart,
	"var_path":               ClassDaemonRestart,
	"log_path":               ClassDaemonRestart,
	"monitored_app_log_path": ClassDaemonRestart,

	"config.auto_apply": ClassImmediate,
	"history_retention": ClassImmediate,

	"node.name":                  ClassDaemonRestart,
	"node.host":                  ClassDaemonRestart,
	"node.cookie_file":           ClassDaemonRestart,
	"node.visibility":            ClassDaemonRestart,
	"node.listen":                ClassDaemonRestart,
	"node.allow":                 ClassImmediate,
	"node.grant":                 ClassImmediate,
	"node.remote_stop":           ClassImmediate,
	"node.epmd":                  ClassDaemonRestart,
	"node.start_epmd":            ClassDaemonRestart,
	"node.net_ticktime_ms":       ClassDaemonRestart,
	"node.connect_timeout_ms":    ClassDaemonRestart,
	"node.send_buffer_bytes":     ClassDaemonRestart,
	"node.max_send_buffer_bytes": ClassDaemonRestart,
	"node.max_message_bytes":     ClassDaemonRestart,
	"node.max_links":             ClassDaemonRestart,
	"node.max_calls":             ClassDaemonRestart,
	"node.tls.mode":              ClassDaemonRestart,
	"node.tls.ca_file":           ClassDaemonRestart,
	"node.tls.cert_file":         ClassDaemonRestart,
	"node.tls.key_file":          ClassDaemonRestart,
	"node.tls.password_file":     ClassDaemonRestart,
	"node.tls.optfile":           ClassDaemonRestart,

	"control.socket": ClassDaemonRestart,
	"control.mode":   ClassImmediate,
	"control.group":  ClassImmediate,
	"control.grant":  ClassImmediate,
	"web.listen":     ClassDaemonRestart,

	"web.poll_token_file": ClassImmediate, // the file is read with each request

	"release.verify":           ClassImmediate,
	"release.public_keys":      ClassImmediate,
	"release.refuse_downgrade": ClassImmediate,

	"secrets_path":     ClassDaemonRestart,
	"secrets.poll_ms":  ClassDaemonRestart,
	"secrets.endpoint": ClassDaemonRestart,

	"applications[].secrets":          ClassRollingRestart,
	"applications[].secrets_rotation": ClassImmediate,

	"release.keep_releases":      ClassNextStart,
	"release.max_unpacked_bytes": ClassDaemonRestart,
	"release.max_entries":        ClassDaemonRestart,
	"release.max_download_rate":  ClassDaemonRestart,
	"release.s3.endpoint":        ClassDaemonRestart,
	"release.s3.path_style":      ClassDaemonRestart,
	"release.s3.profile":         ClassDaemonRestart,
	"release.s3.role_arn":        ClassDaemonRestart,
	"release.gcs.endpoint":       ClassDaemonRestart,

	"self_upgrade.public_keys": ClassImmediate, // the verb reads the file

	"logs.target":           ClassRollingRestart,
	"logs.max_bytes":        ClassImmediate,
	"logs.max_age_ms":       ClassImmediate,
	"logs.archives":         ClassImmediate,
	"logs.bytes":            ClassImmediate,
	"logs.gone_instances":   ClassImmediate,
	"logs.gone_age_ms":      ClassImmediate,
	"logs.min_free_bytes":   ClassImmediate,
	"logs.min_free_percent": ClassImmediate,

	"applications[].name":                        ClassImmediate, // of an app that is added or removed
	"applications[].language":                    ClassRollingRestart,
	"applications[].replicas":                    ClassImmediate,
	"applications[].deploy_schedule_interval_ms": ClassImmediate,
	"applications[].deploy_rollback_timeout_ms":  ClassImmediate,
	"applications[].replica_ports":               ClassRollingRestart,
	"applications[].env":                         ClassRollingRestart,
	"applications[].env_files":                   ClassRollingRestart,
	"applications[].vm_args":                     ClassRollingRestart,
	"applications[].user":                        ClassRollingRestart,
	"applications[].group":                       ClassRollingRestart,
	"applications[].umask":                       ClassRollingRestart,
	"applications[].release_tree":                ClassRollingRestart,
	"applications[].dirs":                        ClassRollingRestart,
	"applications[].files":                       ClassRollingRestart,
	"applications[].cookie_file":                 ClassRollingRestart,
	"applications[].flags_dir":                   ClassImmediate,

	"applications[].sandbox.preset":             ClassRollingRestart,
	"applications[].sandbox.strict":             ClassRollingRestart,
	"applications[].sandbox.no_new_privileges":  ClassRollingRestart,
	"applications[].sandbox.private_tmp":        ClassRollingRestart,
	"applications[].sandbox.private_devices":    ClassRollingRestart,
	"applications[].sandbox.protect_system":     ClassRollingRestart,
	"applications[].sandbox.protect_home":       ClassRollingRestart,
	"applications[].sandbox.protect_kernel":     ClassRollingRestart,
	"applications[].sandbox.read_write_paths":   ClassRollingRestart,
	"applications[].sandbox.read_only_paths":    ClassRollingRestart,
	"applications[].sandbox.inaccessible_paths": ClassRollingRestart,

	"applications[].readiness.timeout_ms":  ClassNextStart,
	"applications[].readiness.application": ClassNextStart,
	"applications[].readiness.successes":   ClassNextStart,
	"applications[].readiness.probe":       ClassNextStart,

	"applications[].strategy.max_unavailable": ClassImmediate,
	"applications[].strategy.max_parallel":    ClassImmediate,
	"applications[].strategy.soak_ms":         ClassImmediate,
	"applications[].stop.timeout_ms":          ClassImmediate,
	"applications[].crash_loop.limit":         ClassImmediate,
	"applications[].crash_loop.window_ms":     ClassImmediate,
	"applications[].cluster":                  ClassImmediate,
	"applications[].cluster_with":             ClassImmediate,

	"applications[].pre_commands_timeout_ms": ClassImmediate,
	"applications[].allow_deploys":           ClassImmediate,
	"applications[].history_retention":       ClassImmediate,
	"applications[].hooks.before_deploy":     ClassImmediate,
	"applications[].hooks.after_deploy":      ClassImmediate,
	"applications[].hooks.before_stop":       ClassImmediate,
	"applications[].hooks.after_stop":        ClassImmediate,
	"applications[].hooks.on_rollback":       ClassImmediate,
	"applications[].hooks.before_upgrade":    ClassImmediate,
	"applications[].hooks.after_upgrade":     ClassImmediate,

	"applications[].pre_commands_on_failure": ClassImmediate,

	"applications[].hot_upgrade.enabled":            ClassImmediate,
	"applications[].hot_upgrade.soak_ms":            ClassImmediate,
	"applications[].hot_upgrade.commit":             ClassImmediate,
	"applications[].hot_upgrade.strategy":           ClassImmediate,
	"applications[].hot_upgrade.fallback":           ClassImmediate,
	"applications[].hot_upgrade.install_timeout_ms": ClassImmediate,
	"applications[].hot_upgrade.kill_lingering":     ClassImmediate,

	"applications[].limits.memory_max":  ClassImmediate,
	"applications[].limits.memory_high": ClassImmediate,
	"applications[].limits.cpu_quota":   ClassImmediate,
	"applications[].limits.tasks_max":   ClassImmediate,

	"applications[].logs.target":         ClassRollingRestart,
	"applications[].logs.max_bytes":      ClassImmediate,
	"applications[].logs.max_age_ms":     ClassImmediate,
	"applications[].logs.archives":       ClassImmediate,
	"applications[].logs.bytes":          ClassImmediate,
	"applications[].logs.gone_instances": ClassImmediate,
	"applications[].logs.gone_age_ms":    ClassImmediate,

	"applications[].crash_dump.enabled":    ClassRollingRestart,
	"applications[].crash_dump.timeout_ms": ClassRollingRestart,
	"applications[].crash_dump.max_bytes":  ClassRollingRestart,
	"applications[].crash_dump.keep":       ClassImmediate,
	"applications[].crash_dump.keep_bytes": ClassImmediate,
}

// classOf gives the class of a key. Inherited is that of the section or list around it, if it speaks for all in it.
func classOf(pattern string, f *field, inherited Class) (Class, bool) {
	switch c, ok := classes[pattern]; {
	case inherited != "":
		return inherited, true
	case f.note() != "":
		return ClassNone, true
	default:
		return c, ok
	}
}

// Change is one difference between what is in force and a file.
type Change struct {
	// Path is as in the messages about a file, but with names in place of numbers: applications[shop].env[LANG].
	Path string `json:"path"`
	App  string `json:"app,omitempty"`
	// Op is changed, added or removed. An app that comes or goes is one change.
	Op  string `json:"op"`
	Old string `json:"old,omitempty"` // as `config show` has it, secrets masked; a section or list as JSON
	New string `json:"new,omitempty"`

	Class Class `json:"class"`
}

// The operations of a Change.
const (
	OpChanged = "changed"
	OpAdded   = "added"
	OpRemoved = "removed"
)

// Diff lists what is different in next from running, in the order of the keys. Of lists whose entries have names, entries
// are compared by name, and their order is no difference.
func Diff(running, next *Config) []Change {
	d := differ{}
	d.section(table(), reflect.ValueOf(running).Elem(), reflect.ValueOf(next).Elem(), "", "", "")
	return d.changes
}

type differ struct {
	app     string
	changes []Change
}

// section compares two structs. Path is for people, pattern for the classes.
func (d *differ) section(fs []field, a, b reflect.Value, path, pattern string, inherited Class) {
	for i := range fs {
		f := &fs[i]
		at, key := join(path, f.key), join(pattern, f.key)
		d.field(f, f.value(a), f.value(b), a, b, at, key, inherited)
	}
}

func (d *differ) field(f *field, a, b, inA, inB reflect.Value, path, pattern string, inherited Class) {
	class, ok := classOf(pattern, f, inherited)
	if !ok {
		class = "" // a section whose keys have classes of their own
	}
	switch {
	case f.kind == kindSection:
		d.section(f.fields, a, b, path, pattern, class)
		return
	case f.kind == kindOptional && !a.IsNil() && !b.IsNil():
		d.section(f.fields, a.Elem(), b.Elem(), path, pattern, class)
		return
	case f.kind == kindSections:
		d.list(f, a, b, path, pattern, class)
		return
	}
	if same(f, a, b) {
		return
	}
	d.add(f, class, path, a, b, inA, inB)
}

// same reports whether two values mean the same: an empty list is as good as none.
func same(f *field, a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

func (d *differ) add(f *field, class Class, path string, a, b, inA, inB reflect.Value) {
	c := Change{Path: path, App: d.app, Op: OpChanged, Old: shown(f, a, inA), New: shown(f, b, inB), Class: class}
	switch {
	case c.Old == "" && c.New != "":
		c.Op = OpAdded
	case c.Old != "" && c.New == "":
		c.Op = OpRemoved
	}
	if c.Class == "" {
		c.Class = ClassDaemonRestart // a key of nobody's: the careful answer
	}
	d.changes = append(d.changes, c)
}

// list compares lists of sections, by the names of their entries where they have them.
func (d *differ) list(f *field, a, b reflect.Value, path, pattern string, class Class) {
	keyA, okA := entryNames(f, a)
	keyB, okB := entryNames(f, b)
	apps := f.typ == reflect.TypeFor[App]()
	if !okA || !okB {
		if !same(f, a, b) {
			d.add(f, class, path, a, b, a, b)
		}
		return
	}
	entry := func(name string) string { return fmt.Sprintf("%s[%s]", path, name) }
	for i, name := range keyA {
		if apps {
			d.app = name
		}
		j := slices.Index(keyB, name)
		switch {
		case j >= 0:
			d.section(f.fields, a.Index(i), b.Index(j), entry(name), pattern+"[]", class)
		case apps:
			d.changes = append(d.changes, Change{Path: entry(name), App: name, Op: OpRemoved, Class: ClassImmediate})
		default:
			d.changes = append(d.changes, Change{Path: entry(name), App: d.app, Op: OpRemoved, Old: shownSection(f, a.Index(i)), Class: class})
		}
	}
	for j, name := range keyB {
		if slices.Contains(keyA, name) {
			continue
		}
		if apps {
			d.app = name
			d.changes = append(d.changes, Change{Path: entry(name), App: name, Op: OpAdded, Class: ClassImmediate})
			continue
		}
		d.changes = append(d.changes, Change{Path: entry(name), App: d.app, Op: OpAdded, New: shownSection(f, b.Index(j)), Class: class})
	}
	if apps {
		d.app = ""
	}
}

// entryNames gives the names of a list's entries: what their first key, a required text, says. ok is false when they
// have none, or two the same.
func entryNames(f *field, v reflect.Value) (names []string, ok bool) {
	first := &f.fields[0]
	if first.kind != kindString || !first.required {
		return nil, false
	}
	for i := range v.Len() {
		name := first.value(v.Index(i)).String()
		if slices.Contains(names, name) {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

// shown gives a value as config show would, in one line.
func shown(f *field, v, parent reflect.Value) string { return oneLine(showValue(f, v, parent)) }

func shownSection(f *field, v reflect.Value) string {
	n := showSection(f.fields, v)
	// Of an entry that is a name and a value, the value says all.
	if len(n.Content) == 4 && n.Content[3].Kind == yaml.ScalarNode {
		return n.Content[3].Value
	}
	return oneLine(n)
}

func oneLine(n *yaml.Node) string {
	switch {
	case n == nil:
		return ""
	case n.Kind == yaml.ScalarNode && !strings.ContainsAny(n.Value, "\n\r"):
		return n.Value
	}
	var b bytes.Buffer
	writeJSON(&b, n)
	return b.String()
}

// InForce gives what is in force once next is applied to a daemon that runs with running: next, with the settings of
// running that count only after a restart of the daemon, and with those apps of running that keep names and next has not.
//
// Errors: *Error when that is no sound configuration, such as when an app that is kept needs the ports of a new one.
func InForce(running, next *Config, keep []string) (*Config, error) {
	c := *next
	c.Applications = slices.Clone(next.Applications)
	hold(table(), reflect.ValueOf(running).Elem(), reflect.ValueOf(&c).Elem(), "", "")
	for _, a := range running.Applications {
		if slices.Contains(keep, a.Name) && !slices.ContainsFunc(c.Applications, func(b App) bool { return b.Name == a.Name }) {
			c.Applications = append(c.Applications, a)
		}
	}
	p := parser{origin: map[string]position{}}
	p.check(&c)
	if len(p.problems) > 0 {
		return nil, &Error{File: next.File, Problems: p.problems}
	}
	return &c, nil
}

// hold takes back the settings that need a restart of the daemon.
func hold(fs []field, from, to reflect.Value, pattern string, inherited Class) {
	for i := range fs {
		f := &fs[i]
		key := join(pattern, f.key)
		class, _ := classOf(key, f, inherited)
		switch {
		case class == ClassDaemonRestart:
			f.value(to).Set(f.value(from))
		case f.kind == kindSection && class == "":
			hold(f.fields, f.value(from), f.value(to), key, "")
		}
	}
}
