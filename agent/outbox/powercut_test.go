package outbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"primespark/agent/outbox"
	"primespark/shared/health"
	"primespark/shared/telemetry"
)

// writerVariable makes this test binary a process that writes an outbox in the
// directory that it names, and says what it has on disk.
const writerVariable = "PRIME_SPARK_OUTBOX_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerVariable); dir != "" {
		fmt.Fprintln(os.Stderr, write(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func openAt(dir string) (*outbox.Box, error) {
	return outbox.Open(outbox.Config{
		Dir: dir, MaxSize: 1 << 30, MaxAge: time.Hour, Every: func() time.Duration { return 20 * time.Millisecond },
		Conditions: health.New(nil), Log: slog.New(slog.DiscardHandler),
	})
}

// write keeps samples until the process is killed, and acknowledges some, so that
// there is something to be dropped in the same transactions.
func write(dir string) error {
	box, err := openAt(dir)
	if err != nil {
		return err
	}
	go func() { _ = box.Run(context.Background()) }() // until the process is killed
	boot := time.Now().UnixMilli()
	before, _ := box.Last()
	for seq := uint64(1); ; seq++ {
		box.Keep(telemetry.Sample{Boot: boot, Stream: "load", Seq: seq, At: time.Now().UTC(), Value: telemetry.Number(float64(seq), "")})
		if seq%7 == 0 {
			time.Sleep(time.Millisecond)
		}
		last, _ := box.Last()
		if kept := last - before; seq%50 == 0 && kept > 0 {
			fmt.Println(boot, kept)
			if kept > 500 {
				box.Acknowledge(telemetry.Ack{Boot: boot, Streams: map[telemetry.Stream]uint64{"load": kept - 500}})
			}
		}
	}
}

// extShutdown is EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), and noFlush its
// EXT4_GOING_FLAGS_NOLOGFLUSH: everything that was not flushed is gone.
const (
	extShutdown = 0x8004587d
	noFlush     = 2
)

// TestPowerCut cuts the power under an outbox that is written: the file system
// forgets all that was not flushed. What the writer said was on disk is there, in
// order, save what was acknowledged; and the file is whole.
func TestPowerCut(t *testing.T) {
	rounds := 8
	if n, err := strconv.Atoi(os.Getenv("POWER_CUTS")); err == nil {
		rounds = n
	}
	disk := newDisk(t, 64<<20)
	at := disk.at
	total := uint64(0)
	for round := range rounds {
		boot, kept := cut(t, at, 150*time.Millisecond+time.Duration(round*37%200)*time.Millisecond)
		if err := errors.Join(disk.unmount(), disk.mount()); err != nil {
			t.Fatal(err)
		}
		total += kept
		start := time.Now()
		box, err := openAt(at)
		if err != nil {
			t.Fatal(err)
		}
		if box.Damaged() != "" || time.Since(start) > 2*time.Second {
			t.Errorf("round %d: opened in %v, damaged %q", round, time.Since(start), box.Damaged())
		}
		all, err := box.Read(0, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		next := uint64(0)
		for _, e := range all {
			if e.Boot != boot {
				continue
			}
			if next != 0 && e.Seq != next || e.Value.Number() != float64(e.Seq) {
				t.Errorf("round %d: sample %d, want %d", round, e.Seq, next)
			}
			next = e.Seq + 1
		}
		if next <= kept {
			t.Errorf("round %d: up to %d are there, %d were on disk", round, int64(next)-1, kept)
		}
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d power cuts, %d samples were said to be on disk", rounds, total)
}

// cut runs a writer for a while, cuts the power and returns what the writer said.
func cut(t *testing.T, at string, after time.Duration) (boot int64, kept uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerVariable+"="+at)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	var off time.Time // when the power goes
	for lines.Scan() {
		if off.IsZero() {
			off = time.Now().Add(after)
		}
		if _, err := fmt.Sscan(strings.TrimSpace(lines.Text()), &boot, &kept); err != nil {
			t.Errorf("the writer says %q", lines.Text())
		}
		if time.Now().After(off) {
			break
		}
	}
	if kept == 0 {
		t.Error("nothing was written")
	}
	if err := unix.IoctlSetPointerInt(int(root.Fd()), extShutdown, noFlush); err != nil {
		t.Errorf("cut the power: %v", err)
	}
	_ = cmd.Process.Kill() // it may have ended by itself
	_, _ = pipe.Read(make([]byte, 1<<16))
	_ = cmd.Wait()
	if err := root.Close(); err != nil {
		t.Error(err)
	}
	return boot, kept
}
