package fleet_test

import (
	"fmt"
	"strings"
	"testing"

	"primespark/shared/fleet"
)

func ExampleVital_Newer() {
	before := fleet.Vital{Node: "pi-1", Boot: 100, Seq: 9}
	rebooted := fleet.Vital{Node: "pi-1", Boot: 200, Seq: 1}
	fmt.Println(rebooted.Newer(before), before.Newer(rebooted), before.Newer(before))
	// Output: true false false
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"pi-1": true, "a": true, "0": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, "Pi": false, "a/b": false, "a+b": false, "a#": false, "a b": false,
		strings.Repeat("a", 33): false, "pi\n": false, "ü": false,
	} {
		if got := fleet.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	v := fleet.View{{Member: fleet.Member{Name: "pi-1"}}, {Member: fleet.Member{Name: "pi-2"}}}
	if n, ok := v.Find("pi-2"); !ok || n.Name != "pi-2" {
		t.Errorf("Find = %v, %v", n, ok)
	}
	if _, ok := v.Find("pi-3"); ok {
		t.Error("found a node that is not there")
	}
}
