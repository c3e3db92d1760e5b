package models

import (
	"slices"
	"testing"
)

func TestLabelsByIndex(t *testing.T) {
	labels := []string{"a", "b"}
	for offset, want := range map[int][]string{0: {"a", "b"}, 1: {"b"}, 2: {}, 9: {}, -1: {"", "a", "b"}} {
		if got := byIndex(labels, offset); !slices.Equal(got, want) {
			t.Errorf("offset %d: %q, want %q", offset, got, want)
		}
	}
	if got := byIndex(nil, -1); got != nil {
		t.Errorf("without labels: %q", got)
	}
}
