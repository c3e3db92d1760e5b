package config

import (
	"fmt"
	"net/url"
	"time"

	"primespark/shared/conf"
)

// Sinks configures where the history is copied to.
type Sinks struct {
	Postgres Postgres `yaml:"postgres"`
	Kafka    Kafka    `yaml:"kafka"`
}

// Postgres configures the sink that writes to PostgreSQL or TimescaleDB.
type Postgres struct {
	URL          string        `yaml:"url"` // postgres://user@host:5432/database; empty: none
	PasswordFile string        `yaml:"password_file"`
	Keep         conf.Duration `yaml:"keep"` // 0: for ever
}

// Kafka configures the sink that writes to a topic.
type Kafka struct {
	Brokers      []string `yaml:"brokers"` // host:port; empty: none
	Topic        string   `yaml:"topic"`
	TLS          string   `yaml:"tls"` // on or off
	CAFile       string   `yaml:"ca_file"`
	Mechanism    string   `yaml:"mechanism"` // of SASL
	Username     string   `yaml:"username"`
	PasswordFile string   `yaml:"password_file"`
}

func (c Sinks) check(f *conf.File) {
	c.Postgres.check(f)
	c.Kafka.check(f)
}

func (c Postgres) check(f *conf.File) {
	if c.Keep != 0 {
		f.CheckEvery("sinks.postgres.keep", c.Keep, 24*time.Hour, 100*366*24*time.Hour)
	}
	if c.URL == "" {
		return
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// Not quoted: it may hold a password.
		f.Bad("sinks.postgres.url", "is not an address of PostgreSQL; give one as in postgres://prime@db.local:5432/telemetry")
		return
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		f.Bad("sinks.postgres.url", "holds a password in the open; use sinks.postgres.password_file")
	}
}

func (c Kafka) check(f *conf.File) {
	for i, b := range c.Brokers {
		f.CheckHostPort(fmt.Sprintf("sinks.kafka.brokers[%d]", i), b)
	}
	f.CheckOneOf("sinks.kafka.tls", c.TLS, "on", "off")
	f.CheckOneOf("sinks.kafka.mechanism", c.Mechanism, "plain", "scram-sha-256", "scram-sha-512")
	if len(c.Topic) < 1 || len(c.Topic) > 249 || !topicName(c.Topic) {
		f.Bad("sinks.kafka.topic", "%.80q is no name of a topic; use 1 to 249 letters, digits, dots, hyphens and underscores", c.Topic)
	}
	if c.Username != "" && c.Mechanism == "plain" && c.TLS == "off" {
		f.Bad("sinks.kafka.mechanism", "plain sends the password in the open without TLS; set tls to on, or use scram-sha-512")
	}
	if c.Username != "" && c.PasswordFile == "" {
		f.Bad("sinks.kafka.password_file", "is empty, and there is a username; name the file that holds the password alone")
	}
	if c.CAFile != "" && c.TLS == "off" {
		f.Bad("sinks.kafka.ca_file", "is of use with TLS only; set tls to on")
	}
}

func topicName(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
