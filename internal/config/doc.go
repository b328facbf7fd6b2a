// Package config reads the daemon's YAML file: DeployEx's keys as they are, and Beamkeeper's own sections beside them.
//
// [Parse] turns bytes into a [Config] with every default filled in and every rule checked, or into an [*Error] that
// lists all problems at once, each with its line. The Go structs are the one source of what a file may contain: their
// tags drive the parser, the JSON Schema ([Schema]), the masked listing ([Config.Show]) and the reference table in
// docs/configuration.md.
//
// Tags of a field:
//
//	yaml       its key; a field without one is not read from the file
//	default    the value of an absent key, written as in YAML
//	computed   words for a default that depends on something else
//	required   "true": must be present and not empty
//	enum       the allowed values, separated by |
//	min, max   bounds of an integer (milliseconds for a duration, bytes for a size, entries for a list)
//	path       "file" or "dir": made absolute against the folder of the file
//	scalar     "any": a string that may be written as any scalar
//	secret     "true": masked by Show; "url": only scheme and host are shown
//	installer  "true": DeployEx's installer used it; accepted, no effect
//	later      what is not acted upon yet, for [Config.NotYet]
//	doc        what it means, for the schema and the docs
//
// A Config is not changed after Parse has returned it and may be shared between goroutines.
package config
