package uplink_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/agent/record"
	"primespark/agent/uplink"
	"primespark/coordinator/broker/brokertest"
	"primespark/shared/fleet"
	"primespark/shared/identity/identitytest"
	"primespark/shared/logs"
	"primespark/shared/mqttpipe"
	"primespark/shared/mqttpipe/mqttpipetest"
	"primespark/shared/telemetry"
)

// mosquitto starts Debian's broker at addr with one user, whose password is in the
// file, and returns how to kill it.
func mosquitto(t *testing.T, addr string) (kill func()) {
	t.Helper()
	passwords := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "pi-1", "secret").CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	return mqttpipetest.Start(t, addr, "allow_anonymous false", "password_file "+passwords)
}

// subscribe reads all samples of the node at addr into a channel, and acknowledges
// them, by the broker itself if acknowledge is nil.
func subscribe(t *testing.T, addr, user, password string, acknowledge func(payload []byte)) <-chan telemetry.Sample {
	t.Helper()
	return reads(t, mqtt.NewClientOptions().AddBroker("tcp://"+addr).SetUsername(user).SetPassword(password), acknowledge)
}

// reads is subscribe by whatever connection.
func reads(t *testing.T, o *mqtt.ClientOptions, acknowledge func(payload []byte)) <-chan telemetry.Sample {
	t.Helper()
	got := make(chan telemetry.Sample, 10_000)
	reader := mqtt.NewClient(o.SetClientID("reader").SetAutoReconnect(false))
	wait(t, reader.Connect())
	t.Cleanup(func() { reader.Disconnect(0) })
	if acknowledge == nil {
		acknowledge = func(payload []byte) { reader.Publish(topics.Ack(), 1, false, payload) } // not waited for: the library calls
	}
	wait(t, reader.Subscribe(topics.Base()+"t/+", 1, func(_ mqtt.Client, m mqtt.Message) {
		batch, err := telemetry.ParseBatch("cpu", m.Payload())
		if err != nil {
			t.Errorf("%s: %v", m.Topic(), err)
		}
		for _, s := range batch {
			got <- s
		}
		last := batch[len(batch)-1]
		ack, err := json.Marshal(telemetry.Ack{Boot: last.Boot, Streams: map[telemetry.Stream]uint64{"cpu": last.Seq}})
		if err != nil {
			t.Error(err)
		}
		acknowledge(ack)
	}))
	return got
}

// expect waits for samples until the one of that sequence, without a gap.
func expect(t *testing.T, got <-chan telemetry.Sample, after, until uint64) {
	t.Helper()
	late := time.After(20 * time.Second)
	for highest := after; highest < until; {
		select {
		case s := <-got:
			if s.Seq > highest+1 {
				t.Fatalf("sample %d came after %d", s.Seq, highest)
			}
			highest = max(highest, s.Seq)
		case <-late:
			t.Fatalf("samples up to %d came, want %d", highest, until)
		}
	}
}

// runs runs an uplink over real sockets until the test ends.
func runs(t *testing.T, cfg uplink.Config, rec *record.Recorder) {
	t.Helper()
	t.Cleanup(starts(t, cfg, rec))
}

// starts starts an uplink over real sockets, and returns how to end it.
func starts(t *testing.T, cfg uplink.Config, rec *record.Recorder) (end func()) {
	t.Helper()
	var log bytes.Buffer
	up, err := uplink.New(cfg, rec, logs.New(&log, logs.Options{Level: slog.LevelDebug}), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- up.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the uplink says:\n%s", &log)
		}
	}
}

func samples(t *testing.T, rec *record.Recorder, n int) {
	t.Helper()
	for range n {
		if err := rec.Record(telemetry.CPU, telemetry.Number(1, "")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMosquittoIsKilledAndComesBack(t *testing.T) {
	addr := mqttpipetest.FreeAddr(t)
	kill := mosquitto(t, addr)
	got := subscribe(t, addr, "pi-1", "secret", nil)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	box, done := openBox(t, t.TempDir(), nil)
	t.Cleanup(done)
	rec := record.New(time.Now(), box)
	var away atomic.Bool // the reader has to be back first, for mosquitto stores nothing for it
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if away.Load() {
			return nil, errors.New("not yet")
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	runs(t, uplink.Config{Broker: "tcp://" + addr, Topics: topics, Username: "pi-1", PasswordFile: password, Dial: dial, Box: box}, rec)
	samples(t, rec, 100)
	expect(t, got, 0, 100)
	away.Store(true)
	kill()
	samples(t, rec, 100)
	mosquitto(t, addr)
	got = subscribe(t, addr, "pi-1", "secret", nil)
	away.Store(false)
	expect(t, got, 100, 200)
}

// TestMosquittoWithCertificates: the broker takes nobody without a certificate of its
// authority, knows nodes by theirs, and lets each write below its own name alone.
func TestMosquittoWithCertificates(t *testing.T) {
	dir, addr := t.TempDir(), mqttpipetest.FreeAddr(t)
	site, elsewhere := identitytest.New(t, "home"), identitytest.New(t, "home")
	file := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := file("ca.pem", site.PEM())
	files := func(of *identitytest.Cluster, who, name string) mqttpipe.Files {
		t.Helper()
		c := of.Credentials(fleet.Agent, name, time.Now())
		return mqttpipe.Files{CA: ca, Cert: file(who+".crt", c.Cert), Key: file(who+".key", c.Key)}
	}
	settings := func(f mqttpipe.Files) *tls.Config {
		t.Helper()
		c, err := f.TLS(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	broker := files(site, "broker", "broker")
	acl := file("acl", []byte("user reader\ntopic readwrite primespark/#\npattern readwrite primespark/home/%u/#\n"))
	mqttpipetest.Start(t, addr, "cafile "+ca, "certfile "+broker.Cert, "keyfile "+broker.Key,
		"require_certificate true", "use_identity_as_username true", "acl_file "+acl)

	got := reads(t, mqtt.NewClientOptions().AddBroker("ssl://"+addr).SetTLSConfig(settings(files(site, "reader", "reader"))), nil)
	box, end := openBox(t, t.TempDir(), nil)
	t.Cleanup(end)
	rec := record.New(time.Now(), box)
	samples(t, rec, 100)
	for who, f := range map[string]mqttpipe.Files{
		"a stranger":  files(elsewhere, "stranger", "pi-1"),
		"nobody":      {CA: ca},
		"a neighbour": files(site, "neighbour", "pi-2"), // who sends in the name of pi-1
	} {
		end := starts(t, uplink.Config{Broker: "ssl://" + addr, Topics: topics, TLS: settings(f), Box: box}, rec)
		select {
		case s := <-got:
			t.Errorf("%s sent sample %d", who, s.Seq)
		case <-time.After(500 * time.Millisecond): // nothing tells of what does not come
		}
		end()
	}
	runs(t, uplink.Config{Broker: "ssl://" + addr, Topics: topics, TLS: settings(files(site, "pi-1", "pi-1")), Box: box}, rec)
	expect(t, got, 0, 100)
}

func TestEmbeddedBrokerOnLoopback(t *testing.T) {
	b := brokertest.Loopback(t)
	got := subscribe(t, b.Addr(), "", "", func(payload []byte) {
		go b.Publish(topics.Ack(), payload) // the library must not be held up; one that is lost comes again
	})
	box, end := openBox(t, t.TempDir(), nil)
	t.Cleanup(end)
	rec := record.New(time.Now(), box)
	samples(t, rec, 500)
	runs(t, uplink.Config{Broker: "tcp://" + b.Addr(), Topics: topics, Box: box}, rec)
	expect(t, got, 0, 500)
}

func TestPasswordFileThatIsNone(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{large, filepath.Join(t.TempDir(), "missing")} {
		var log bytes.Buffer
		up, err := uplink.New(uplink.Config{Broker: "tcp://127.0.0.1:1", Topics: topics, PasswordFile: path},
			record.New(time.Now(), nil), logs.New(&log, logs.Options{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := up.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(log.Bytes(), []byte("mqtt password")) {
			t.Errorf("%s: log %s", path, &log)
		}
	}
}
