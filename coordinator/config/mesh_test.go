package config

import (
	"strings"
	"testing"
)

func TestMesh(t *testing.T) {
	for text, want := range map[string]string{
		"{enabled: true}": "",
		"{enabled: true, port: 4000, endpoints: ['hub.example:4000'], site: barn, hub: false, priority: 7, ipv4_range: 10.77.0.0/16}": "",
		"{socket: mesh.sock}":              "mesh.socket: \"mesh.sock\" is no absolute path",
		"{port: 65534}":                    "mesh.port: 65534 is not between",
		"{endpoints: [hub]}":               "mesh.endpoints[0]",
		"{site: The Barn}":                 "mesh.site",
		"{priority: 101}":                  "mesh.priority: 101 is not",
		"{ipv4_range: everything}":         "mesh.ipv4_range: \"everything\" is no range",
		"{ipv4_range: 8.8.8.0/24}":         "mesh.ipv4_range: 8.8.8.0/24 is not for private use",
		"{endpoint: ['hub.example:4000']}": "did you mean \"endpoints\"?",
	} {
		c, err := Parse([]byte("name: c1\nmesh: " + text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if got := c.Mesh.Range().IsValid(); got != strings.Contains(text, "10.77") && err == nil {
			t.Errorf("%s: a range: %t", text, got)
		}
	}
}
