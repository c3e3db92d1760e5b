package alerts_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/coordinator/alerts"
	"primespark/coordinator/broker/brokertest"
	"primespark/shared/mqttpipe"
	"primespark/shared/mqttpipe/mqttpipetest"
	"primespark/shared/telemetry"
)

var c1 = telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "c1"}

func TestMQTTByMosquitto(t *testing.T) { byMQTT(t, mqttpipetest.Mosquitto(t)) }

func TestMQTTByTheEmbeddedBroker(t *testing.T) { byMQTT(t, brokertest.Loopback(t).Addr()) }

// channel is the channel of coordinator c1 to a broker.
func channel(t *testing.T, addr string) alerts.MQTT {
	t.Helper()
	at, err := mqttpipe.Parse("tcp://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	return alerts.MQTT{Broker: mqttpipe.Config{Broker: at, ClientID: c1.Errand(telemetry.AlertsErrand), Dial: new(net.Dialer).DialContext}, Topic: c1.Alerts()}
}

// byMQTT: an automation that listens gets each message once, as a webhook would,
// and one that comes later is not told of what is past.
func byMQTT(t *testing.T, addr string) {
	listen := func(id string, take func(mqtt.Message)) mqtt.Client {
		t.Helper()
		reader := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetAutoReconnect(false))
		for _, token := range []func() mqtt.Token{reader.Connect, func() mqtt.Token {
			return reader.Subscribe("primespark/home/alert", 1, func(_ mqtt.Client, m mqtt.Message) { take(m) })
		}} {
			if step := token(); !step.WaitTimeout(20*time.Second) || step.Error() != nil {
				t.Fatalf("no answer of the broker, or %v", step.Error())
			}
		}
		t.Cleanup(func() { reader.Disconnect(0) })
		return reader
	}
	got := make(chan mqtt.Message, 10)
	listen("automation", func(m mqtt.Message) { got <- m })
	c := channel(t, addr)
	sent := []alerts.Message{
		{ID: "home/7/firing", State: "firing", Cluster: "home", Key: "node_down/c2", Severity: alerts.Critical, Subject: "c2", Detail: "c2 is down.", Remedy: "Look.", Since: time.Unix(1, 0).UTC()},
		{ID: "home/7/resolved", State: "resolved", Cluster: "home", Key: "node_down/c2", Since: time.Unix(1, 0).UTC(), Resolved: time.Unix(9, 0).UTC()},
	}
	for _, m := range sent {
		if err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		select {
		case came := <-got:
			var back alerts.Message
			if err := json.Unmarshal(came.Payload(), &back); err != nil || back != m || came.Retained() {
				t.Errorf("got %s (retained %v, %v), want %+v", came.Payload(), came.Retained(), err, m)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not come", m.ID)
		}
	}
	late := make(chan mqtt.Message, 10)
	listen("latecomer", func(m mqtt.Message) { late <- m })
	last := alerts.Message{ID: "home/8/firing", State: "firing"}
	if err := c.Send(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	select {
	case came := <-late:
		if !strings.Contains(string(came.Payload()), last.ID) {
			t.Errorf("one who comes later is told of the past: %s", came.Payload())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the latecomer hears nothing")
	}
}

// TestMQTTThatIsNotThere: an alert that no broker took is an error, so that it is
// sent again, and no secret shows in it.
func TestMQTTThatIsNotThere(t *testing.T) {
	m := alerts.Message{ID: "home/7/firing", State: "firing"}
	c := channel(t, "127.0.0.1:1")
	if err := c.Send(t.Context(), m); err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("nobody listens: %v", err)
	}
	c.Broker.PasswordFile = filepath.Join(t.TempDir(), "none")
	if err := c.Send(t.Context(), m); err == nil || !strings.Contains(err.Error(), "mqtt password") {
		t.Errorf("no password: %v", err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("guess-7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Broker.PasswordFile = secret
	if err := c.Send(t.Context(), m); err == nil || strings.Contains(err.Error(), "guess-7") {
		t.Errorf("nobody listens: %v", err)
	}
}
