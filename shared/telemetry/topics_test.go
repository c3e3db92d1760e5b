package telemetry_test

import (
	"fmt"
	"testing"

	"primespark/shared/telemetry"
)

func ExampleTopics() {
	t := telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"}
	fmt.Println(t.Status(), t.State(), t.Events(), t.Samples(telemetry.CPU), t.ClientID())
	// Output: primespark/home/pi-1/status primespark/home/pi-1/state primespark/home/pi-1/event primespark/home/pi-1/t/cpu home.pi-1
}

func TestPublishes(t *testing.T) {
	own := telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"}
	for topic, want := range map[string]bool{
		"primespark/home/pi-1/status":   true,
		"primespark/home/pi-1/t/cpu":    true,
		"primespark/home/pi-1/t/CPU":    false,
		"primespark/home/pi-1/t/a/b":    false,
		"primespark/home/pi-1/t/":       false,
		"primespark/home/pi-1/ack":      false, // the coordinators'
		"primespark/home/pi-10/status":  false,
		"primespark/away/pi-1/status":   false,
		"other/home/pi-1/status":        false,
		"primespark/home/pi-1/status/x": false,
		"primespark/home/pi-1/":         false,
		"spBv1.0/home/NBIRTH/pi-1":      true,
		"spBv1.0/home/NDATA/pi-1":       true,
		"spBv1.0/home/NDEATH/pi-1":      true,
		"spBv1.0/home/NDEATH/pi-2":      false,
		"spBv1.0/away/NDATA/pi-1":       false,
		"spBv1.0/home/NCMD/pi-1":        false, // the hosts'
		"spBv1.0/home/DDATA/pi-1/x":     false,
	} {
		if got := own.Publishes(topic); got != want {
			t.Errorf("%s: %v, want %v", topic, got, want)
		}
	}
}

func TestTopicsRefuse(t *testing.T) {
	for name, bad := range map[string]telemetry.Topics{
		"wildcard":  {Prefix: "#", Cluster: "home", Node: "pi-1"},
		"levels":    {Prefix: "a/b", Cluster: "home", Node: "pi-1"},
		"no prefix": {Cluster: "home", Node: "pi-1"},
		"cluster":   {Prefix: "p", Cluster: "+", Node: "pi-1"},
		"node":      {Prefix: "p", Cluster: "home", Node: "pi/1"},
	} {
		if err := bad.Check(); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
