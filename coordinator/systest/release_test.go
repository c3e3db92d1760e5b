package systest_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/task"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

var recordAs = flag.String("record", "", "write the state directories of this build, as those of the release `VERSION`")

const releases = "testdata/releases"

// TestRecordRelease packs the state of a fleet of this build, for TestReleases of all
// later ones. It is run once for each release:
//
//	make golden-state VERSION=1.2.3
func TestRecordRelease(t *testing.T) {
	if *recordAs == "" {
		t.Skip("no -record VERSION")
	}
	file := filepath.Join(releases, *recordAs+".tar.gz")
	if _, err := os.Stat(file); err == nil {
		t.Fatalf("%s is there: what was released does not change", file)
	}
	if err := os.MkdirAll(releases, 0o755); err != nil {
		t.Fatal(err)
	}
	systest.Test(t, 1, 1, func(t *testing.T, f *systest.Fleet) {
		ctx, o := t.Context(), f.Via("c1")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		done, err := o.SubmitTask(ctx, noop(time.Second, ""), "")
		must(err)
		done, err = o.Task(ctx, done.ID, 30*time.Second)
		must(err)
		if done.State != task.Done {
			t.Fatalf("%+v", done)
		}
		due := time.Now().Add(70 * time.Minute).UTC().Truncate(time.Second) // Reopen does so after an hour
		later, err := o.SubmitTask(ctx, dueAt(due), "once")
		must(err)
		_, err = o.CreateToken(ctx, wire.TokenRequest{Name: "grafana", Role: "viewer"})
		must(err)
		_, err = o.CreateJoinCode(ctx, wire.JoinCodeRequest{Role: "agent"})
		must(err)
		_, err = o.RotateGossipKey(ctx)
		must(err)
		f.Measure("pi-1", time.Second)
		time.Sleep(30 * time.Second)
		// What the agent measures from here on waits in its outbox.
		f.Stop("c1")
		time.Sleep(30 * time.Second)
		o.Close()
		f.Pack(file, map[string]string{"done": done.ID, "later": later.ID, "result": string(done.Result), "due": due.Format(time.RFC3339)})
	})
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d KB", file, info.Size()>>10)
}

// TestReleases opens the state directories of every release: the fleet goes on, and
// nothing that was agreed, done or measured is gone.
func TestReleases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(releases, "*.tar.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no state of any release in %s: %v", releases, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".tar.gz"), func(t *testing.T) { systest.Reopen(t, file, goesOn) })
	}
}

// dueAt is a task for later.
func dueAt(due time.Time) task.Spec {
	spec := noop(time.Second, "")
	spec.NotBefore = due
	return spec
}

func goesOn(t *testing.T, f *systest.Fleet, notes map[string]string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := f.Via("c1")
	defer o.Close()
	if got, err := o.Task(ctx, notes["done"], 0); err != nil || got.State != task.Done || !bytes.Equal(got.Result, []byte(notes["result"])) {
		t.Errorf("a task that was done: %+v, %v", got, err)
	}
	if got, err := o.Task(ctx, notes["later"], 0); err != nil || got.State != task.Scheduled {
		t.Errorf("a task for later: %+v, %v", got, err)
	}
	due, err := time.Parse(time.RFC3339, notes["due"])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.SubmitTask(ctx, dueAt(due), "once"); err != nil || again.ID != notes["later"] {
		t.Errorf("the same task with its idempotency key: %s, %v; want %s", again.ID, err, notes["later"])
	}
	tokens, err := o.Tokens(ctx)
	if err != nil || len(tokens) != 2 {
		t.Errorf("tokens: %+v, %v", tokens, err)
	}
	time.Sleep(30 * time.Second) // for what waited in the outbox
	rows, err := o.Telemetry(ctx, wire.TelemetryQuery{Node: "pi-1", Stream: telemetry.Memory, From: time.Now().Add(-2 * time.Hour), Limit: 10_000})
	if err != nil || len(rows) < 55 {
		t.Errorf("%d samples, want those of the minute before the end; %v", len(rows), err)
	}
	// Then the task is due, and done by the agent.
	time.Sleep(time.Until(due) + time.Second)
	late, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	if got, err := o.Task(late, notes["later"], 30*time.Second); err != nil || got.State != task.Done {
		t.Errorf("a task that is due: %+v, %v", got, err)
	}
}
