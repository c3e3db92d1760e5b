package coordinator

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/shared/conf"
	"primespark/shared/gossip"
	"primespark/shared/gossiptest"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
)

// Two operators' pairs of keys, made for this test.
const (
	publicKey  = "age160qc942saz0kfxyf7ffyv86yap4l7dyy6we9lvj9zupxc0ncaq0shv2mmu"
	privateKey = "AGE-SECRET-KEY-1WEK6N8SQDA80PJXUHCVMDPTV6XEQAG0JC686FHRH4F86S9YED9ZS3E4ZJF"
	otherKey   = "AGE-SECRET-KEY-1H3HFF0Z826SAN89GE8DQFCPJZZ02CSCEQFWZS8R7F3THNMN6XQ0QZCJA79"
)

// one runs the only coordinator of a group in a bubble until while returns.
func one(t *testing.T, cfg config.Config, while func()) {
	t.Helper()
	var net pipenet.Net
	host := net.Host("10.77.0.1")
	talks := gossiptest.New(0, 1)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, cfg, Outside{
			Log: slog.New(slog.DiscardHandler), Listen: host.Listen, Dial: host.Dial,
			Gossip: func(c *gossip.Config) {
				transport, err := talks.Transport(host, ":7482")
				if err != nil {
					t.Error(err)
					return
				}
				c.Transport = transport
			},
		})
	}()
	while()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	time.Sleep(time.Minute) // memberlist lets its last probes run out
}

func settled(dir string) config.Config {
	cfg := config.Default()
	cfg.Name, cfg.StateDir = "c1", dir
	cfg.HTTP.Advertise, cfg.Raft.Advertise, cfg.Gossip.Advertise = "10.77.0.1:7480", "10.77.0.1:7481", "10.77.0.1:7482"
	return cfg
}

// TestScheduledBackupComesBack: a coordinator makes backups as it is configured;
// the last one is restored elsewhere, and that coordinator decides.
func TestScheduledBackupComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := settled(t.TempDir())
		cfg.Backup = config.Backup{Dir: filepath.Join(t.TempDir(), "nas"), Every: conf.Duration(10 * time.Minute), Keep: 2, Recipient: publicKey}
		if _, err := Init(t.Context(), cfg, "home"); err != nil {
			t.Fatal(err)
		}
		one(t, cfg, func() { time.Sleep(35 * time.Minute) })
		files, err := filepath.Glob(filepath.Join(cfg.Backup.Dir, "prime-spark-home-*.psb"))
		if err != nil || len(files) != 2 {
			t.Fatalf("backups %v, %v; want the last two", files, err)
		}
		state, err := consensus.ReadState(raftDir(cfg))
		if err != nil || state.Backup.Path != files[1] || state.Backup.Error != "" {
			t.Errorf("recorded %+v, %v; the newest is %s", state.Backup, err, files[1])
		}
		b, err := os.ReadFile(files[1])
		if err != nil {
			t.Fatal(err)
		}

		other := settled(t.TempDir())
		refuses(t, other, b)
		saved, err := Restore(other, bytes.NewReader(b), strings.NewReader(privateKey))
		if err != nil {
			t.Fatal(err)
		}
		got, err := consensus.ReadState(raftDir(other))
		if err != nil || got.Checksum() != saved.Checksum || got.Index != saved.Index {
			t.Errorf("restored is state %d %s, %v; want %d %s", got.Index, got.Checksum(), err, saved.Index, saved.Checksum)
		}
		if _, err := Restore(other, bytes.NewReader(b), strings.NewReader(privateKey)); problem.Of(err).Code != problem.Conflict {
			t.Errorf("restored over a coordinator: %v", err)
		}
		one(t, other, func() { time.Sleep(10 * time.Second) })
		after, err := consensus.ReadState(raftDir(other))
		if err != nil {
			t.Fatal(err)
		}
		if old, now := got.Nodes["c1"], after.Nodes["c1"]; now.Key == old.Key || len(after.Denied) != 1 || after.Denied[old.Key].IsZero() {
			t.Errorf("the lost coordinator's key is not shut out: %+v, then %+v, denied %v", old, now, after.Denied)
		}
		if _, err := os.Stat(filepath.Join(identityDir(other), returnFile)); err == nil {
			t.Error("the note of the restore is still there")
		}
		one(t, other, func() { time.Sleep(10 * time.Second) }) // a second start finds nothing to do

		path := filepath.Join(t.TempDir(), "offline.psb")
		made, err := Backup(other, path, publicKey)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if checked, err := CheckBackup(f, strings.NewReader(privateKey)); err != nil || checked.Checksum != made.Checksum {
			t.Errorf("the backup of a coordinator that does not run: %+v, %v; want %+v", checked, err, made)
		}
	})
}

// refuses holds Restore to leaving no trace of what it does not accept.
func refuses(t *testing.T, cfg config.Config, good []byte) {
	t.Helper()
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	if _, err := Restore(cfg, bytes.NewReader(flipped), strings.NewReader(privateKey)); !IsCorrupt(err) {
		t.Errorf("a flipped bit: %v", err)
	}
	if _, err := Restore(cfg, bytes.NewReader(good), strings.NewReader(otherKey)); err == nil || IsCorrupt(err) || problem.Of(err).Remedy == "" {
		t.Errorf("another key: %v", err)
	}
	if _, err := Restore(cfg, bytes.NewReader(good), strings.NewReader("no key")); problem.Of(err).Code != problem.Invalid {
		t.Errorf("no key: %v", err)
	}
	if left, err := os.ReadDir(cfg.StateDir); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}

func TestSaverKeepsToTheConfiguredKey(t *testing.T) {
	s := saver{cfg: config.Config{Backup: config.Backup{Recipient: publicKey}}}
	const other = "age1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0sexample"
	if _, _, err := s.Save(fsm.State{}, other); problem.Of(err).Code != problem.Forbidden {
		t.Errorf("another recipient than the configured one: %v", err)
	}
	s.cfg.Backup.Recipient = ""
	if _, _, err := s.Save(fsm.State{}, ""); problem.Of(err).Code != problem.Invalid {
		t.Errorf("no recipient at all: %v", err)
	}
	if _, _, err := s.Save(fsm.State{}, "AGE-SECRET-KEY-1"); problem.Of(err).Code != problem.Invalid {
		t.Errorf("a private key for a recipient: %v", err)
	}
}
