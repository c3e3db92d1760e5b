package version_test

import (
	"slices"
	"testing"

	"primespark/shared/version"
)

func TestCompare(t *testing.T) {
	for _, pair := range [][2]string{
		{"1.0.0", "v1.0.1"},
		{"1.9.0", "1.10.0"},
		{"1.4.0-rc.1", "1.4.0"},
		{"1.4.0~rc1", "1.4.0~rc2"},
		{"v1.4.0", "v1.4.0-3-gabcdef0"},
		{"v1.4.0-3-gabcdef0", "v1.4.0-12-g0123456"},
		{"v1.4.0-12-g0123456", "v1.4.1"},
	} {
		if order, ok := version.Compare(pair[0], pair[1]); order != -1 || !ok {
			t.Errorf("%v: %d, %v", pair, order, ok)
		}
		if order, ok := version.Compare(pair[1], pair[0]); order != 1 || !ok {
			t.Errorf("%v the other way round: %d, %v", pair, order, ok)
		}
	}
	if order, ok := version.Compare("v1.0.0", "1.0.0"); order != 0 || !ok {
		t.Errorf("the same: %d, %v", order, ok)
	}
	for _, v := range []string{"", "dev", "abcdef0", "1.2", "1.2.3.4", "99999999999.0.0"} {
		if _, ok := version.Compare(v, "1.0.0"); ok {
			t.Errorf("%q has no age", v)
		}
	}
}

func TestBehind(t *testing.T) {
	behind, newest := version.Behind(map[string]string{"a": "1.0.0", "b": "1.1.0", "c": "dev", "d": "1.1.0", "e": "1.0.9", "f": ""})
	slices.Sort(behind)
	if !slices.Equal(behind, []string{"a", "e"}) || newest != "1.1.0" {
		t.Errorf("%v are behind %s", behind, newest)
	}
	if behind, _ := version.Behind(map[string]string{"a": "dev", "b": "dev"}); len(behind) != 0 {
		t.Errorf("%v", behind)
	}
}
