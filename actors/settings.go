package actors

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/beamkeeper/beamkeeper/internal/state"
)

// startSettings says of each field of AppSpec whether an OS process is started with it (true), so that a change of it
// takes a new one, or it is looked at whenever it is needed (false). A test keeps it whole.
var startSettings = map[string]bool{
	"Name":     false,
	"Language": true,
	"Replicas": false,
	"Ports":    true,
	"Env":      true,
	"User":     true,
	"Cookie":   true,

	"Surroundings": true,
	"LogTarget":    true,
	"Dump":         true,
	"Logs":         false,
	"Limits":       true,

	"Poll":      false,
	"Readiness": false,
	"Strategy":  false,
	"Stop":      false,
	"CrashLoop": false,
	"Mesh":      false,
	"Keep":      false,
}

// settings is a digest of what an OS process is started with. It stays the same when a later version of the program has
// more of such settings and they are not used.
func (a AppSpec) settings() string {
	h := sha256.New()
	v := reflect.ValueOf(a)
	for _, name := range slices.Sorted(maps.Keys(startSettings)) {
		f := v.FieldByName(name)
		if !startSettings[name] || !f.IsValid() || f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0 {
			continue
		}
		value := []byte(nil)
		if f.Kind() == reflect.String {
			value = []byte(f.String()) // a cookie hides itself from everything else
		} else if b, err := json.Marshal(f.Interface()); err == nil {
			value = b
		} else {
			panic(fmt.Sprintf("actors: setting %s: %v", name, err)) // plain data
		}
		fmt.Fprintf(h, "%s %d %s\n", name, len(value), value)
	}
	return "1:" + hex.EncodeToString(h.Sum(nil))[:24]
}

// outdated says whether an instance's OS process was started with other settings than those of spec.
func outdated(spec AppSpec, rec state.Instance) bool {
	return rec.Process.OSPID != 0 && rec.Settings != "" && rec.Settings != spec.settings()
}
