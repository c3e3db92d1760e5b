package config

import (
	"strings"
	"testing"
)

func TestAlerts(t *testing.T) {
	seventeen := strings.Repeat("{name: a, type: webhook, url: 'https://x'},", 17)
	faults(t, map[string]string{
		"alerts: {channels: [{name: ops, type: webhook, url_file: /etc/u}, {name: phone, type: ntfy, url: 'https://ntfy.sh/t', token_file: /etc/t}]}": "",
		"mqtt: {broker: 'tcp://b:1883'}\nalerts: {channels: [{name: home, type: mqtt}]}":                                                              "",
		"alerts: {channels: [{name: home, type: mqtt}]}":                                                                                              "alerts.channels[0].type: is mqtt, and mqtt.broker is empty",
		"alerts: {channels: [{name: Ops, type: webhook, url_file: /u}]}":                                                                              "alerts.channels[0].name",
		"alerts: {channels: [{name: a, type: ntfy, url_file: /u}, {name: a, type: ntfy, url_file: /u}]}":                                              "alerts.channels[1].name",
		"alerts: {channels: [{name: a, type: mail, url_file: /u}]}":                                                                                   "alerts.channels[0].type",
		"alerts: {channels: [{name: a, type: webhook}]}":                                                                                              "alerts.channels[0].url: give either url or url_file",
		"alerts: {channels: [{name: a, type: webhook, url: 'https://x', url_file: /u}]}":                                                              "alerts.channels[0].url: give either url or url_file",
		"alerts: {channels: [{name: a, type: webhook, url: 'ftp://x'}]}":                                                                              "alerts.channels[0].url: is not an address",
		"alerts: {channels: [{name: a, type: webhook, url: 'https://me:guess-7@x'}]}":                                                                 "alerts.channels[0].url: holds a password",
		"alerts: {channels: [" + seventeen + "]}":                                                                                                     "alerts.channels: are 17",
		"alerts: {channels: [{nmae: a}]}":                                                                                                             "nmae",
		"alerts: {node_down: 1s}":                                                                                                                     "alerts.node_down",
		"alerts: {temperature: 20}":                                                                                                                   "alerts.temperature",
		"alerts: {temperature: 111}":                                                                                                                  "alerts.temperature",
		"alerts: {battery: 20}":                                                                                                                       "alerts.battery",
		"alerts: {battery: -0.1}":                                                                                                                     "alerts.battery",
		"alerts: {temperature: 30, battery: 1.0}":                                                                                                     "",
	})
}
