package hailo

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
)

// A Version is one of HailoRT's, of its driver or of the chip's firmware. The
// zero value is none.
type Version struct {
	Major, Minor, Revision int
}

var versionText = regexp.MustCompile(`^([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})`)

// ParseVersion reads "4.23.0", and whatever follows it as in "4.20.0-1" or
// "4.23.0 (release,app)"; the zero value if s does not begin so.
func ParseVersion(s string) Version {
	m := versionText.FindStringSubmatch(s)
	if m == nil {
		return Version{}
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // at most four digits
	}
	return Version{n[0], n[1], n[2]}
}

func (v Version) String() string {
	if v == (Version{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Revision)
}

// MarshalText writes what String does.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (v *Version) UnmarshalText(text []byte) error {
	*v = ParseVersion(string(text))
	return nil
}

// Compare orders versions, the older first.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Revision, w.Revision))
}
