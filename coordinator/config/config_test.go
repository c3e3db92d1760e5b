package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReferenceIsTheDefault holds the embedded file to Default: a key that is
// missing, renamed or of another value shows here.
func TestReferenceIsTheDefault(t *testing.T) {
	want, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(Reference)
	if err != nil {
		t.Fatal(err)
	}
	want.Gossip.Seeds = []string{}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the reference file is not the default (-default +file):\n%s", d)
	}
	for _, key := range []string{"name:", "state_dir:", "advertise:", "loopback_role:", "profile:", "embedded:"} {
		if !strings.Contains(string(Reference), key) {
			t.Errorf("the reference file has no %s", key)
		}
	}
}

func TestParseListsEveryFault(t *testing.T) {
	for name, test := range map[string]struct{ yaml, want string }{
		"TLS off in the open": {"http: {tls: off}\n", `line 1, column 13: http.tls: off is for loopback addresses only, and http.listen is ":7480"; use http.loopback for plain HTTP on this host`},
		"profile":             {"raft: {profile: fast}\n", `line 1, column 17: raft.profile: "fast" is not one of lan, wan`},
		"gossip by name":      {"gossip: {advertise: \"c1.home:7482\"}\n", `line 1, column 21: gossip.advertise: "c1.home:7482" is not an IP address and a port; give both, as in 192.168.1.10:7482`},
		"role":                {"http: {loopback_role: admin}\n", `line 1, column 23: http.loopback_role: "admin" is not one of none, viewer, operator`},
		"broker of a witness": {"role: witness\nmqtt: {embedded: true}\n", `line 2, column 18: mqtt.embedded: is true, and a witness runs no broker; set it on another coordinator, or have role: coordinator here`},
		"agent on this host":  {"node: Pi 1\n", `line 1, column 7: node: "Pi 1" cannot name a node; give the name of the agent on this host, as in pi-1`},
		"role in the group":   {"role: judge\n", `line 1, column 7: role: "judge" is not one of coordinator, witness`},
		"two": {"name: C1\nmqtt: {prefix: a/b}\n", `line 1, column 7: name: "C1" cannot name a node; use 1 to 32 of a-z, 0-9 and hyphen, as in c1
line 2, column 16: mqtt.prefix: "a/b" cannot be a level of a topic; use letters, digits and hyphen, as in primespark`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.yaml))
			if err == nil || err.Error() != test.want {
				t.Errorf("got:\n%v\nwant:\n%s", err, test.want)
			}
		})
	}
}
