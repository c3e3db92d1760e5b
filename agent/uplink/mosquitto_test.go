package uplink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"primespark/shared/logs"
	"primespark/shared/telemetry"
)

// mosquitto starts Debian's broker at addr with one user, and returns how to
// kill it.
func mosquitto(t *testing.T, dir, addr string) (kill func()) {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in every user's path
		if _, err := os.Stat(path); err != nil {
			need(t, "mosquitto is not installed; apt install mosquitto")
		}
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	passwords := filepath.Join(dir, "passwords")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "pi-1", "secret").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // as root, mosquitto gives its rights up
		t.Fatal(err)
	}
	config := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous false\npassword_file %s\npersistence false\nuser root\n", port, passwords)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", config)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("mosquitto says:\n%s", &log)
		}
	})
	answers(t, addr)
	return func() { cmd.Process.Kill(); cmd.Wait() }
}

// need skips a test that lacks something, and fails it where nothing may lack.
func need(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// answers waits until somebody listens at addr.
func answers(t *testing.T, addr string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond) // another process starts, of which nobody tells
	}
	t.Fatalf("nobody listens at %s", addr)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// subscribe reads all samples of the node at addr into a channel, and acknowledges
// them, by the broker itself if acknowledge is nil.
func subscribe(t *testing.T, addr, user, password string, acknowledge func(payload []byte)) <-chan telemetry.Sample {
	t.Helper()
	got := make(chan telemetry.Sample, 10_000)
	reader := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("reader").
		SetUsername(user).SetPassword(password).SetAutoReconnect(false))
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

// runs starts an uplink over real sockets.
func runs(t *testing.T, cfg uplink.Config, rec *record.Recorder) {
	t.Helper()
	var log bytes.Buffer
	up, err := uplink.New(cfg, rec, logs.New(&log, logs.Options{Level: slog.LevelDebug}), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- up.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the uplink says:\n%s", &log)
		}
	})
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
	dir, addr := t.TempDir(), freeAddr(t)
	kill := mosquitto(t, dir, addr)
	got := subscribe(t, addr, "pi-1", "secret", nil)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	box, done := openBox(t, t.TempDir())
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
	mosquitto(t, dir, addr)
	got = subscribe(t, addr, "pi-1", "secret", nil)
	away.Store(false)
	expect(t, got, 100, 200)
}

func TestEmbeddedBrokerOnLoopback(t *testing.T) {
	b := brokertest.Loopback(t)
	got := subscribe(t, b.Addr(), "", "", func(payload []byte) {
		go b.Publish(topics.Ack(), payload) // the library must not be held up; one that is lost comes again
	})
	box, end := openBox(t, t.TempDir())
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
