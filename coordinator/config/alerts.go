package config

import (
	"fmt"
	"net/url"
	"time"

	"primespark/shared/conf"
	"primespark/shared/fleet"
)

// Alerts configures who is told when something is wrong, and from when on it is.
type Alerts struct {
	Channels    []Channel     `yaml:"channels"`
	NodeDown    conf.Duration `yaml:"node_down"`
	Temperature float64       `yaml:"temperature"` // °C
	Battery     float64       `yaml:"battery"`     // state of charge, 0 to 1
}

// A Channel is one way to people.
type Channel struct {
	Name      string `yaml:"name"`
	Type      string `yaml:"type"` // webhook, ntfy or mqtt
	URL       string `yaml:"url"`
	URLFile   string `yaml:"url_file"`   // holds the address alone, where it is a secret
	TokenFile string `yaml:"token_file"` // for Authorization: Bearer
}

func (c Alerts) check(f *conf.File, mqtt MQTT) {
	f.CheckEvery("alerts.node_down", c.NodeDown, 5*time.Second, 24*time.Hour)
	if c.Temperature < 30 || c.Temperature > 110 {
		f.Bad("alerts.temperature", "%v °C is not between 30 and 110; a Pi 5 slows down from 85 on", c.Temperature)
	}
	if c.Battery < 0 || c.Battery > 1 {
		f.Bad("alerts.battery", "%v is not a state of charge; give 0 to 1, as in 0.2", c.Battery)
	}
	if len(c.Channels) > 16 {
		f.Bad("alerts.channels", "are %d; 16 are enough", len(c.Channels))
	}
	seen := map[string]bool{}
	for i, one := range c.Channels {
		key := fmt.Sprintf("alerts.channels[%d]", i)
		if !fleet.ValidName(one.Name) || seen[one.Name] {
			f.Bad(key+".name", "%q is not 1 to 32 of a-z, 0-9 and hyphen, or is there twice; give one as in ops", one.Name)
		}
		seen[one.Name] = true
		f.CheckOneOf(key+".type", one.Type, "webhook", "ntfy", "mqtt")
		one.check(f, key, mqtt)
	}
}

func (c Channel) check(f *conf.File, key string, mqtt MQTT) {
	if c.Type == "mqtt" {
		if mqtt.Broker == "" {
			f.Bad(key+".type", "is mqtt, and mqtt.broker is empty; set that")
		}
		return
	}
	if (c.URL == "") == (c.URLFile == "") {
		f.Bad(key+".url", "give either url or url_file")
		return
	}
	if c.URL == "" {
		return
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		f.Bad(key+".url", "is not an address; give one as in https://ntfy.sh/my-topic")
	} else if u.User != nil {
		f.Bad(key+".url", "holds a password in the open; put the address into a file and name it as url_file")
	}
}
