package conf

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// unknown says that a key does not exist, and which one may have been meant.
func unknown(key string, fields map[string]reflect.Value) string {
	names := slices.Sorted(maps.Keys(fields))
	if near := Nearest(key, names); near != "" {
		return fmt.Sprintf("unknown key; did you mean %q?", near)
	}
	return "unknown key; there are " + strings.Join(names, ", ")
}

// Nearest returns the word that s was most likely meant to be: the one with the
// fewest slips, at most a third of its letters and two. Empty if none is near.
func Nearest(s string, words []string) string {
	if len(s) > 64 {
		return ""
	}
	best, least := "", 1<<30
	for _, w := range words {
		if d := distance(s, w); d < least {
			best, least = w, d
		}
	}
	if least > max(2, len(best)/3) {
		return ""
	}
	return best
}

// distance counts the single-letter changes between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
