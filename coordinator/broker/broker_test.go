package broker_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/coordinator/broker"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/pipenet"
	"primespark/shared/telemetry"
)

var own = telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"}

// A lab is a broker with TLS on c1, in a bubble.
type lab struct {
	t    *testing.T
	pipe pipenet.Net
	home *identitytest.Cluster
}

func inBubble(t *testing.T, story func(*testing.T, *lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, home: identitytest.New(t, "home")}
		listener, err := l.pipe.Host("c1").Listen(t.Context(), "tcp", ":7883")
		if err != nil {
			t.Fatal(err)
		}
		c1 := l.home.Node(fleet.Coordinator, "c1")
		b, err := broker.New(listener, broker.Config{
			Prefix: "primespark", Cluster: "home",
			TLS: c1.ServerTLS(tls.RequireAnyClientCert),
		}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		synctest.Wait()
		story(t, l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // clients let go of what they held
	})
}

// A client is an MQTT client that sees what came and whether it was thrown out.
type client struct {
	mqtt.Client
	mu   sync.Mutex
	got  map[string]string // payload by topic
	kept map[string]bool   // topics that came as retained
	out  chan struct{}
}

// connect connects with a certificate, as clientID, with a last will if a topic
// is given.
func (l *lab) connect(who *identity.Identity, clientID, will string) (*client, error) {
	config := who.ClientTLS(fleet.Coordinator)
	c := &client{got: map[string]string{}, kept: map[string]bool{}, out: make(chan struct{})}
	o := mqtt.NewClientOptions().AddBroker("ssl://c1:7883").SetProtocolVersion(4).SetClientID(clientID).SetAutoReconnect(false).
		SetConnectTimeout(5 * time.Second).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(c.out) }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.got[m.Topic()], c.kept[m.Topic()] = string(m.Payload()), m.Retained()
		}).
		SetCustomOpenConnectionFn(func(at *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			conn, err := l.pipe.Host("pi-1").Dial(context.Background(), "tcp", at.Host)
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, config), nil
		})
	if will != "" {
		o.SetWill(will, "offline", 1, true)
	}
	c.Client = mqtt.NewClient(o)
	t := c.Connect()
	<-t.Done()
	return c, t.Error()
}

func (l *lab) mustConnect(who *identity.Identity, clientID string) *client {
	l.t.Helper()
	c, err := l.connect(who, clientID, "")
	if err != nil {
		l.t.Fatalf("%s: %v", clientID, err)
	}
	return c
}

// says publishes and reports whether the broker took it.
func (c *client) says(topic, payload string, retain bool) bool {
	t := c.Publish(topic, 1, retain, payload)
	return t.WaitTimeout(5*time.Second) && t.Error() == nil
}

// hears subscribes and reports whether the broker allows it.
func (c *client) hears(filter string) bool {
	t := c.Subscribe(filter, 1, nil).(*mqtt.SubscribeToken)
	return t.WaitTimeout(5*time.Second) && t.Error() == nil && t.Result()[filter] == 1
}

func (c *client) last(topic string) string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[topic]
}

func TestANodePublishesItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		boss := l.mustConnect(l.home.Node(fleet.Coordinator, "c1"), "home.c1")
		defer boss.Disconnect(100)
		if !boss.hears("primespark/#") || !boss.hears("homeassistant/#") || !boss.hears("spBv1.0/#") {
			t.Fatal("a coordinator may not read")
		}
		pi := l.home.Node(fleet.Agent, "pi-1")
		for topic, want := range map[string]bool{
			own.Status():                        true,
			own.State():                         true,
			own.Events():                        true,
			own.Samples("cpu"):                  true,
			own.Base() + "ack":                  false, // the coordinators'
			own.Base() + "other":                false,
			"primespark/home/pi-2/status":       false,
			"primespark/home/pi-2/t/cpu":        false,
			"primespark/away/pi-1/status":       false,
			"homeassistant/device/pi-1/config":  true,
			"homeassistant/device/pi-2/config":  false,
			"homeassistant/status":              false,
			"$SYS/broker/version":               false,
			"primespark/home/pi-1/../pi-2/ack":  false,
			"primespark/home/pi-1/t/cpu/status": false,
			"spBv1.0/home/NBIRTH/pi-1":          true,
			"spBv1.0/home/NDATA/pi-2":           false,
			"spBv1.0/home/NCMD/pi-1":            false, // the hosts'
		} {
			c := l.mustConnect(pi, "home.pi-1")
			if got := c.says(topic, "x", false); got != want {
				t.Errorf("publish to %s: %v, want %v", topic, got, want)
			}
			if got := boss.last(topic) == "x"; got != want && !strings.HasPrefix(topic, "$") {
				t.Errorf("%s reached the coordinator: %v, want %v", topic, got, want)
			}
			c.Disconnect(100)
		}
		if !boss.says("primespark/home/pi-1/ack", "{}", false) {
			t.Error("a coordinator may not acknowledge")
		}
	})
}

func TestANodeReadsItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		c := l.mustConnect(l.home.Node(fleet.Agent, "pi-1"), "home.pi-1")
		defer c.Disconnect(100)
		for filter, want := range map[string]bool{
			"primespark/home/pi-1/ack": true,
			"primespark/home/pi-1/#":   true,
			"primespark/home/pi-2/ack": false,
			"primespark/home/+/ack":    false,
			"spBv1.0/home/NCMD/pi-1":   true,
			"spBv1.0/home/NCMD/pi-2":   false,
			"spBv1.0/home/NDATA/pi-2":  false,
			"#":                        false,
		} {
			if got := c.hears(filter); got != want {
				t.Errorf("subscribe to %s: %v, want %v", filter, got, want)
			}
		}
	})
}

func TestWhoMayConnect(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		pi := l.home.Node(fleet.Agent, "pi-1")
		stranger := identitytest.New(t, "home").Node(fleet.Agent, "pi-1") // same names, another authority
		for name, test := range map[string]struct {
			who      *identity.Identity
			id, will string
			want     bool
		}{
			"as itself":             {pi, "home.pi-1", "", true},
			"with a will":           {pi, "home.pi-1", own.Status(), true},
			"a second connection":   {pi, "home.pi-1.sparkplug", "spBv1.0/home/NDEATH/pi-1", true},
			"another's death":       {pi, "home.pi-1.sparkplug", "spBv1.0/home/NDEATH/pi-2", false},
			"as another":            {pi, "home.pi-2", "", false},
			"a will for another":    {pi, "home.pi-1", "primespark/home/pi-2/status", false},
			"of another authority":  {stranger, "home.pi-1", "", false},
			"a coordinator as node": {l.home.Node(fleet.Coordinator, "c2"), "home.pi-1", "", false},
		} {
			c, err := l.connect(test.who, test.id, test.will)
			if got := err == nil; got != test.want {
				t.Errorf("%s: %v, want allowed %v", name, err, test.want)
			}
			c.Disconnect(100)
		}
	})
}

func TestMessagesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		boss := l.mustConnect(l.home.Node(fleet.Coordinator, "c1"), "home.c1")
		defer boss.Disconnect(100)
		boss.hears("primespark/#")
		pi := l.home.Node(fleet.Agent, "pi-1")
		c := l.mustConnect(pi, "home.pi-1")
		if !c.says(own.Samples("cpu"), strings.Repeat("x", telemetry.BatchBytes), false) {
			t.Error("the largest batch is refused")
		}
		if c.says(own.Samples("cpu"), strings.Repeat("x", 2*telemetry.BatchBytes), false) {
			t.Error("a message of 512 KiB is taken")
		}
		<-c.out // thrown out, while the others go on
		c = l.mustConnect(pi, "home.pi-1")
		defer c.Disconnect(100)
		if !c.says(own.Status(), "online", true) || boss.last(own.Status()) != "online" {
			t.Error("the broker does not serve any more")
		}
	})
}

func TestSamplesAreNotRetained(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		c := l.mustConnect(l.home.Node(fleet.Agent, "pi-1"), "home.pi-1")
		defer c.Disconnect(100)
		for _, topic := range []string{own.Status(), own.State(), own.Events(), own.Samples("cpu")} {
			if !c.says(topic, "x", true) {
				t.Fatalf("publish to %s", topic)
			}
		}
		boss := l.mustConnect(l.home.Node(fleet.Coordinator, "c1"), "home.c1")
		defer boss.Disconnect(100)
		boss.hears("primespark/#")
		time.Sleep(time.Second)
		for topic, want := range map[string]string{own.Status(): "x", own.State(): "x", own.Events(): "", own.Samples("cpu"): ""} {
			if got := boss.last(topic); got != want {
				t.Errorf("a new reader gets %q of %s, want %q", got, topic, want)
			}
		}
	})
}

func TestTheSilentAreThrownOut(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		var silent []net.Conn
		refused := 0
		for range 600 {
			c, err := l.pipe.Host("x").Dial(t.Context(), "tcp", "c1:7883")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			silent = append(silent, c)
			synctest.Wait()
			if err := c.SetReadDeadline(time.Now().Add(time.Nanosecond)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err == io.EOF {
				refused++
			}
		}
		if refused != 600-512 {
			t.Errorf("%d of 600 connections refused, want those beyond 512", refused)
		}
		time.Sleep(11 * time.Second)
		for i, c := range silent {
			if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Fatalf("connection %d: %v, want it closed after 10 s", i, err)
			}
		}
		c := l.mustConnect(l.home.Node(fleet.Agent, "pi-1"), "home.pi-1")
		c.Disconnect(100)
	})
}

func TestGarbage(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		pi := l.home.Node(fleet.Agent, "pi-1")
		for i := range 200 {
			conn, err := l.pipe.Host("pi-1").Dial(t.Context(), "tcp", "c1:7883")
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(conn, pi.ClientTLS(fleet.Coordinator))
			packet := make([]byte, 1+i)
			rand.Read(packet) // never fails
			packet[0] = 0x10  // CONNECT
			c.Write(packet)   // it may be thrown out while it talks
			c.Close()
		}
		time.Sleep(time.Second)
		c := l.mustConnect(pi, "home.pi-1")
		defer c.Disconnect(100)
		if !c.says(own.Status(), "online", true) {
			t.Error("the broker does not serve any more")
		}
	})
}

type at struct {
	net.Listener
	ip net.IP
}

func (a at) Addr() net.Addr { return &net.TCPAddr{IP: a.ip, Port: 7883} }

func TestNewRefuses(t *testing.T) {
	open := broker.Config{Prefix: "primespark", Cluster: "home"}
	unasked := open
	unasked.TLS = &tls.Config{}
	wild := open
	wild.Prefix = "#"
	for name, test := range map[string]struct {
		ip   net.IP
		cfg  broker.Config
		want string
	}{
		"in the clear on the LAN": {net.IPv4(192, 168, 1, 2), open, "loopback only"},
		"in the clear everywhere": {net.IPv4zero, open, "loopback only"},
		"TLS for anybody":         {net.IPv4zero, unasked, "client certificates"},
		"a wildcard":              {net.IPv4(127, 0, 0, 1), wild, "mqtt prefix"},
	} {
		_, err := broker.New(at{ip: test.ip}, test.cfg, slog.New(slog.DiscardHandler), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", name, err, test.want)
		}
	}
	if _, err := broker.New(at{ip: net.IPv6loopback}, open, slog.New(slog.DiscardHandler), nil); err != nil {
		t.Errorf("on loopback: %v", err)
	}
}
