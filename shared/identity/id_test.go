package identity_test

import (
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

func TestParseID(t *testing.T) {
	for uri, want := range map[string]identity.ID{
		"spiffe://home/agent/pi-1":                           {Cluster: "home", Role: fleet.Agent, Name: "pi-1"},
		"spiffe://a/coordinator/b":                           {Cluster: "a", Role: fleet.Coordinator, Name: "b"},
		"":                                                   {},
		"spiffe://home/agent":                                {},
		"spiffe://home/agent/pi-1/":                          {},
		"spiffe://home/agent/pi-1/x":                         {},
		"spiffe://home/root/pi-1":                            {},
		"spiffe://Home/agent/pi-1":                           {},
		"spiffe://home/agent/pi%2d1":                         {},
		"spiffe://home:80/agent/pi-1":                        {},
		"spiffe://u@home/agent/pi-1":                         {},
		"spiffe://home/agent/pi-1?x":                         {},
		"https://home/agent/pi-1":                            {},
		"spiffe://home/agent/" + strings.Repeat("a", 33):     {},
		"spiffe://home/agent/" + strings.Repeat("a", 100000): {},
	} {
		got, err := identity.ParseID(uri)
		if got != want || (err == nil) != want.Valid() {
			t.Errorf("ParseID(%.60q) = %v, %v; want %v", uri, got, err, want)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://home/agent/pi-1")
	f.Add("spiffe://home/coordinator/c1/")
	f.Fuzz(func(t *testing.T, uri string) {
		id, err := identity.ParseID(uri)
		if err != nil {
			return
		}
		if id.String() != uri || !id.Valid() || id.URI().String() != uri {
			t.Errorf("%q gives %+v, which writes itself %q", uri, id, id)
		}
	})
}
