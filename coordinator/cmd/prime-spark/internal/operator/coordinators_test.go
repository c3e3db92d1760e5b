package operator

import (
	"slices"
	"strings"
	"testing"

	"primespark/shared/wire"
)

func TestSurvives(t *testing.T) {
	for _, test := range []struct {
		voters, here int
		want         string
	}{
		{1, 1, "can lose 0 more. Add two, or one and a witness"},
		{2, 2, "it takes 2 to decide: the group can lose 0 more. Two survive no loss"},
		{3, 3, "it takes 2 to decide: the group can lose 1 more."},
		{3, 2, "3 vote, 2 of them answer, and it takes 2 to decide: the group can lose 0 more."},
		{3, 1, "the group can lose 0 more."},
		{4, 4, "the group can lose 1 more. 4 survive no more than 3 do"},
		{5, 5, "the group can lose 2 more."},
	} {
		group := []wire.Coordinator{{Name: "joins", Alive: true}}
		for i := range test.voters {
			group = append(group, wire.Coordinator{Voter: true, Alive: i < test.here})
		}
		if got := survives(group); !strings.Contains(got, test.want) {
			t.Errorf("%d of %d: %q, want %q", test.here, test.voters, got, test.want)
		}
	}
}

func TestPrefer(t *testing.T) {
	group := []wire.Coordinator{{Name: "c1", API: "a:1", Alive: true}, {Name: "c2", API: "b:1", Alive: true}, {Name: "w", Alive: true}, {Name: "c3", API: "c:1"}}
	if got, want := prefer([]string{"https://a:1"}, group, "c1"), []string{"https://b:1", "https://a:1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := prefer([]string{"http://127.0.0.1:9"}, group, "c1"), []string{"http://127.0.0.1:9", "http://127.0.0.1:9"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
