package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as an integer or as text such as 4GiB, 512 MiB, 10MB.
type Size int64

// Percent is a whole percentage, written as an integer or as text such as 200%.
type Percent int

// Command is a program and its arguments. In YAML it is a list, or a string for a program without arguments.
type Command []string

// The units of a size, largest first.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3},
	{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"B", 1}, {"", 1},
}

// ParseSize reads a size: digits, perhaps with a fraction, and a unit. KiB, MiB, GiB, TiB and K, M, G, T are powers of
// 1024; kB, MB, GB, TB are powers of 1000; B or nothing is bytes.
func ParseSize(s string) (Size, error) {
	bad := fmt.Errorf("%q is not a size such as 4GiB, 512MiB or 1048576", s)
	t := strings.ReplaceAll(strings.TrimSpace(s), "_", "")
	end := strings.LastIndexAny(t, "0123456789") + 1
	if end == 0 || t[0] < '0' || t[0] > '9' {
		return 0, bad
	}
	number, unit := t[:end], strings.TrimSpace(t[end:])
	for _, u := range units {
		if unit != u.name {
			continue
		}
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			if n > math.MaxInt64/u.bytes {
				return 0, fmt.Errorf("%q is too large a size", s)
			}
			return Size(n * u.bytes), nil
		}
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || strings.ContainsAny(number, "eExXpP") {
			return 0, bad
		}
		if f*float64(u.bytes) >= math.MaxInt64 {
			return 0, fmt.Errorf("%q is too large a size", s)
		}
		return Size(f * float64(u.bytes)), nil
	}
	return 0, bad
}

// String gives the size in the largest binary unit that divides it: 4GiB, 1048577.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// ParsePercent reads 200 or 200%.
func ParsePercent(s string) (Percent, error) {
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "%")))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a percentage such as 75 or 200%%", s)
	}
	return Percent(n), nil
}

// String gives 200%.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }
