package config

import (
	"strings"
)

// suggestKey gives a hint for an unknown key of the section at path.
func suggestKey(key, path string, fs []field) string {
	known := make([]string, len(fs))
	for i := range fs {
		known[i] = fs[i].key
	}
	if near := nearest(key, known); near != "" {
		return "did you mean " + near + "?"
	}
	if places := placesOf(key, "", table()); len(places) > 0 && len(places) <= 3 {
		return "it belongs under " + strings.Join(places, " or ")
	}
	if len(known) <= 12 {
		return "known here: " + strings.Join(known, ", ")
	}
	return ""
}

// placesOf gives the sections that have the key.
func placesOf(key, path string, fs []field) []string {
	var places []string
	for i := range fs {
		f := &fs[i]
		if f.key == key {
			if path == "" {
				places = append(places, "the top level")
			} else {
				places = append(places, path)
			}
		}
		if f.fields == nil {
			continue
		}
		sub := join(path, f.key)
		if f.kind == kindSections {
			sub += "[]"
		}
		places = append(places, placesOf(key, sub, f.fields)...)
	}
	return places
}

// nearest gives the word that s was probably meant to be; empty when none is near.
func nearest(s string, words []string) string {
	best, least := "", 1+(len(s)+2)/3
	for _, w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to get from a to b
// (Levenshtein, with adjacent transpositions).
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	var before []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
