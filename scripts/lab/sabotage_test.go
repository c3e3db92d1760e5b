package lab_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"primespark/shared/identity/identitytest"
	"primespark/shared/rig"
	"primespark/shared/sabotage"
)

// TestSabotage: each suite catches the program that was made to break its promise.
// A suite that lets one pass proves nothing with the real one.
func TestSabotage(t *testing.T) {
	begin(t, time.Minute)
	other := identitytest.New(t, rig.Cluster)
	for tag, suite := range map[build]func(context.Context, build) error{
		"sabotage_nosync":      func(ctx context.Context, b build) error { _, err := powerCut(ctx, b, 5); return err },
		"sabotage_stalereads":  func(ctx context.Context, b build) error { _, _, err := linear(ctx, b, 2000, 0); return err },
		"sabotage_nofencing":   func(ctx context.Context, b build) error { return lateReports(ctx, b, 3) },
		"sabotage_norolecheck": func(ctx context.Context, b build) error { return forgedRaft(ctx, b, other) },
	} {
		t.Run(string(tag), func(t *testing.T) {
			err := suite(begin(t, 3*time.Minute), tag)
			if !caught(err) {
				t.Fatalf("not caught: %v", err)
			}
			t.Logf("caught: %v", err)
		})
	}
}

// TestNoSabotageInPrograms: what is built without tags has nothing of it, and what
// is built with one says so.
func TestNoSabotageInPrograms(t *testing.T) {
	begin(t, time.Minute)
	for tag, want := range map[build]bool{"": false, "sabotage_nofencing": true} {
		dir, err := tag.bin()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "prime-spark-coordinator"))
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(raw, []byte(sabotage.Warning)); got != want || !want && bytes.Contains(raw, []byte("sabotage")) {
			t.Errorf("the coordinator with tags %q has something of a sabotage: %t, want %t", tag, got, want)
		}
	}
}
