package agent

import (
	"testing"

	"primespark/shared/fleet"
)

func TestSentence(t *testing.T) {
	one, two := []fleet.Serving{{Name: "blazeface"}}, []fleet.Serving{{Name: "a"}, {Name: "b"}}
	for _, test := range []struct {
		v      fleet.Vital
		joined bool
		want   string
	}{
		{fleet.Vital{Ready: true, Models: one}, false, "Serves blazeface to this host only; to make it part of a cluster: prime-spark-agent join CODE"},
		{fleet.Vital{Ready: true, Models: two, Mode: fleet.Normal}, true, "Serves 2 models, mode normal."},
		{fleet.Vital{Reasons: []string{"low_battery", "no_models"}}, true, "Not ready (low_battery, no_models). Serves 0 models."},
	} {
		if got := sentence(test.v, test.joined); got != test.want {
			t.Errorf("sentence(%+v, %v) = %q, want %q", test.v, test.joined, got, test.want)
		}
	}
}
