package version

import (
	"cmp"
	"regexp"
	"strconv"
)

// release is a version in numbers, and what makes it an earlier or later build of
// them: v1.4.0, 1.4.0-rc.1, and v1.4.0-12-gabcdef of git describe.
var release = regexp.MustCompile(`^v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-~]([0-9A-Za-z.]+)(?:-g[0-9a-f]+)?)?$`)

// Compare orders versions, as cmp.Compare does. It is not ok for those that say
// nothing of their age, like a build without a release.
func Compare(a, b string) (order int, ok bool) {
	x, y := release.FindStringSubmatch(a), release.FindStringSubmatch(b)
	if x == nil || y == nil {
		return 0, false
	}
	for i := 1; i <= 3; i++ {
		n, _ := strconv.Atoi(x[i]) // nine digits at most
		m, _ := strconv.Atoi(y[i])
		if order = cmp.Compare(n, m); order != 0 {
			return order, true
		}
	}
	return cmp.Or(cmp.Compare(after(x[4]), after(y[4])), cmp.Compare(x[4], y[4])), true
}

// after is how many commits after its release a build is; a release candidate is
// before it.
func after(suffix string) int {
	if suffix == "" {
		return 0
	}
	if n, err := strconv.Atoi(suffix); err == nil {
		return n
	}
	return -1
}

// Behind are those of some named versions that are older than the newest of them.
func Behind(versions map[string]string) (names []string, newest string) {
	for _, v := range versions {
		if order, ok := Compare(v, newest); ok && order > 0 || newest == "" && release.MatchString(v) {
			newest = v
		}
	}
	for name, v := range versions {
		if order, ok := Compare(v, newest); ok && order < 0 {
			names = append(names, name)
		}
	}
	return names, newest
}
