package config

import (
	"reflect"
	"time"
)

// Logs says how the log files of the instances are rotated and kept.
type Logs struct {
	Target        string        `yaml:"target" default:"file" enum:"file|journal|both" doc:"Where instances write: to files, to systemd's journal, or to files that the daemon copies to the journal with fields for app, instance, version and stream."`
	MaxBytes      Size          `yaml:"max_bytes" default:"20MiB" min:"65536" max:"1073741824" doc:"A file that holds so much is rotated: its lines go to compressed archives beside it."`
	MaxAge        time.Duration `yaml:"max_age_ms" default:"86400000" min:"0" doc:"And so is one whose lines are so old. 0: never for that."`
	Archives      int           `yaml:"archives" default:"7" min:"1" max:"100000" doc:"How many archives of each file are kept."`
	Bytes         Size          `yaml:"bytes" default:"4GiB" min:"0" doc:"What all log files of an app may take of the disk. Over it instances that are gone lose theirs first, then the oldest archives go. 0: no limit."`
	GoneInstances int           `yaml:"gone_instances" default:"20" min:"0" max:"100000" doc:"How many instances of an app that are gone keep their files, the youngest first. 0: no limit."`
	GoneAge       time.Duration `yaml:"gone_age_ms" default:"1209600000" min:"0" doc:"How long they keep them after their last line. 0: no limit."`

	MinFreeBytes   Size `yaml:"min_free_bytes" default:"100MiB" min:"0" doc:"With less free on the file system of the logs the oldest archives are removed, and there is an event. 0: only min_free_percent counts."`
	MinFreePercent int  `yaml:"min_free_percent" default:"2" min:"0" max:"90" doc:"The same in percent of the file system."`
}

// AppLogs is what an app has other than Logs. What the file leaves out is that of Logs.
type AppLogs struct {
	Target        string        `yaml:"target" enum:"file|journal|both" computed:"that of logs" doc:"Where its instances write."`
	MaxBytes      Size          `yaml:"max_bytes" min:"65536" max:"1073741824" computed:"that of logs" doc:"A file that holds so much is rotated."`
	MaxAge        time.Duration `yaml:"max_age_ms" min:"0" computed:"that of logs" doc:"And so is one whose lines are so old. 0: never for that."`
	Archives      int           `yaml:"archives" min:"1" max:"100000" computed:"that of logs" doc:"How many archives of each file are kept."`
	Bytes         Size          `yaml:"bytes" min:"0" computed:"that of logs" doc:"What all its log files may take of the disk. 0: no limit."`
	GoneInstances int           `yaml:"gone_instances" min:"0" max:"100000" computed:"that of logs" doc:"How many instances that are gone keep their files. 0: no limit."`
	GoneAge       time.Duration `yaml:"gone_age_ms" min:"0" computed:"that of logs" doc:"How long they keep them. 0: no limit."`
}

// CrashDump is about the crash dumps of an app.
type CrashDump struct {
	Enabled   bool          `yaml:"enabled" default:"true" doc:"Whether a BEAM that crashes writes a dump. It restarts when it is done."`
	Timeout   time.Duration `yaml:"timeout_ms" default:"30000" min:"1000" max:"86400000" doc:"How long it may take (ERL_CRASH_DUMP_SECONDS)."`
	MaxBytes  Size          `yaml:"max_bytes" default:"512MiB" min:"0" doc:"How large it may get (ERL_CRASH_DUMP_BYTES). 0: no limit."`
	Keep      int           `yaml:"keep" default:"5" min:"1" max:"10000" doc:"How many are kept; the oldest goes first."`
	KeepBytes Size          `yaml:"keep_bytes" default:"2GiB" min:"0" doc:"What all of them together may take; the last one stays in any case. 0: no limit."`
}

// inherit fills what the file leaves out in the logs section of the app at path.
func (a *AppLogs) inherit(from Logs, path string, origin map[string]position) {
	v, base := reflect.ValueOf(a).Elem(), reflect.ValueOf(from)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if _, set := origin[join(path, f.Tag.Get("yaml"))]; !set {
			v.Field(i).Set(base.FieldByName(f.Name))
		}
	}
}
