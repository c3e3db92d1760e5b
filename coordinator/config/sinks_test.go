package config

import (
	"strings"
	"testing"
)

func TestSinks(t *testing.T) {
	faults(t, map[string]string{
		"sinks: {postgres: {url: 'postgres://prime@db:5432/x', password_file: /etc/p, keep: 8760h}}":           "",
		"sinks: {kafka: {brokers: ['k1:9092', 'k2:9092'], username: u, password_file: /p}}":                    "",
		"sinks: {postgres: {url: 'mysql://db/x'}}":                                                             "sinks.postgres.url",
		"sinks: {postgres: {url: 'postgres://prime:guess-7@db/x'}}":                                            "password_file",
		"sinks: {postgres: {url: 'postgres://db/x?password=guess-7'}}":                                         "password_file",
		"sinks: {postgres: {keep: 1h}}":                                                                        "sinks.postgres.keep",
		"sinks: {kafka: {brokers: ['k1']}}":                                                                    "sinks.kafka.brokers[0]",
		"sinks: {kafka: {topic: 'a b'}}":                                                                       "sinks.kafka.topic",
		"sinks: {kafka: {mechanism: gssapi}}":                                                                  "sinks.kafka.mechanism",
		"sinks: {kafka: {brokers: ['k1:9092'], mechanism: plain, username: u, password_file: /p, tls: 'off'}}": "in the open",
		"sinks: {kafka: {brokers: ['k1:9092'], username: u}}":                                                  "sinks.kafka.password_file",
		"sinks: {kafka: {brokers: ['k1:9092'], tls: 'off', ca_file: /ca}}":                                     "sinks.kafka.ca_file",
	})
}

// faults parses each text and wants a fault with those words in it, or none if they
// are empty; and never the password guess-7.
func faults(t *testing.T, all map[string]string) {
	t.Helper()
	for text, want := range all {
		_, err := Parse([]byte("name: c1\n" + text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want something of %s", text, err, want)
		case err != nil && strings.Contains(err.Error(), "guess-7"):
			t.Errorf("%s: the password shows: %v", text, err)
		}
	}
}
