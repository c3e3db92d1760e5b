package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"primespark/agent/config"
	"primespark/shared/problem"
)

func TestOneAgentPerStateDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	log := slog.New(slog.DiscardHandler)
	release, err := claim(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Name, cfg.StateDir, cfg.HTTP.Socket = "pi-1", dir, filepath.Join(t.TempDir(), "agent.sock")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := Run(ctx, cfg, Real(cfg, t.Output())); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second agent got %v, want a conflict", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, err = claim(dir, log)
	if err != nil {
		t.Fatalf("after the first one has ended: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(file, log); !problem.Is(err, problem.Invalid) {
		t.Errorf("a file in place of the directory gave %v, want that it is invalid", err)
	}
}
