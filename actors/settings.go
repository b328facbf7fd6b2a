package actors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

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
	"SecretUses":   true,
	"LogTarget":    true,
	"Dump":         true,
	"Logs":         false,
	"Limits":       false,

	"Hooks":              false,
	"PreCommandsTimeout": false,
	"PreCommandsGhost":   false,

	"Poll":            false,
	"Readiness":       false,
	"Strategy":        false,
	"Hot":             false,
	"Stop":            false,
	"CrashLoop":       false,
	"RollbackTimeout": false,
	"Mesh":            false,
	"MeshWith":        false,
	"Windows":         false,
	"Keep":            false,
	"History":         false,
}

// settings is a digest of what an OS process is started with. Settings that are not used do not count, so that it stays
// the same when a later version of the program has more of them: instances outlive it.
func (a AppSpec) settings() string {
	if a.digest != "" {
		return a.digest // it is asked for again and again
	}
	h := sha256.New()
	v := reflect.ValueOf(a)
	for _, name := range slices.Sorted(maps.Keys(startSettings)) {
		if f := v.FieldByName(name); startSettings[name] && f.IsValid() {
			fmt.Fprintf(h, "%s%s\n", name, digestible(f))
		}
	}
	return "1:" + hex.EncodeToString(h.Sum(nil))[:24]
}

// digestible writes a value in one way only, without what is zero or empty.
func digestible(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return "&" + digestible(v.Elem())
	case reflect.Struct:
		var b strings.Builder
		for i := range v.NumField() {
			if text := digestible(v.Field(i)); text != "" {
				fmt.Fprintf(&b, "%s:%s,", v.Type().Field(i).Name, text)
			}
		}
		if b.Len() == 0 {
			return ""
		}
		return "{" + b.String() + "}"
	case reflect.Slice:
		if v.Len() == 0 {
			return ""
		}
		var b strings.Builder
		for i := range v.Len() {
			fmt.Fprintf(&b, "%s,", digestible(v.Index(i)))
		}
		return "[" + b.String() + "]"
	case reflect.String: // a cookie hides itself from fmt
		if v.String() == "" {
			return ""
		}
		return strconv.Quote(v.String())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.IsZero() {
			return ""
		}
		return fmt.Sprint(v)
	}
	panic(fmt.Sprintf("actors: a setting of type %s", v.Type())) // there is none
}

// outdated says whether an instance's OS process was started with other settings than those of spec.
func outdated(spec AppSpec, rec state.Instance) bool {
	return rec.Process.OSPID != 0 && rec.Settings != "" && rec.Settings != spec.settings()
}

// Outdated says whether an instance's OS process was started with other settings than those of its app's spec now.
func (s *System) Outdated(instance string) bool {
	behind := false
	err := s.cfg.State.View(func(tx *state.Tx) error {
		rec, ok, err := tx.Instance(instance)
		if e, known := s.roster.find(rec.App); ok && known {
			behind = outdated(e.spec, rec)
		}
		return err
	})
	return err == nil && behind
}
