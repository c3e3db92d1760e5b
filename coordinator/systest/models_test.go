package systest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"primespark/agent/models/blazeface"
	"primespark/shared/modelpack"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// give hands in the agents' own model under another name and version, part by part.
func give(t *testing.T, c *Client, version string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "faces")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range blazeface.Files() {
		if name == "model.yaml" {
			data = bytes.Replace(data, []byte("name: blazeface"), []byte("name: faces"), 1)
			data = bytes.Replace(data, []byte("version: \"1\""), []byte("version: \""+version+"\""), 1)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := modelpack.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Manifest.Version != version || p.Manifest.Name != "faces" {
		t.Fatalf("the package is %s %s", p.Manifest.Name, p.Manifest.Version)
	}
	hand := func(ctx context.Context, _ task.Object, data []byte) error {
		_, err := c.PutObject(ctx, data)
		return err
	}
	bill, err := p.Cut(ctx, hand)
	if err != nil {
		t.Fatal(err)
	}
	text, err := bill.Encode()
	if err == nil {
		err = hand(ctx, task.Object{}, text)
	}
	if err == nil {
		_, err = c.PutModel(ctx, wire.ModelPut{Bill: task.ObjectOf(text)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serving counts the agents on which a model answers in that version.
func serving(c *Client, version string) (n int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, err := c.FleetModels(ctx)
	if err != nil {
		return -1
	}
	for _, m := range b.Models {
		for _, on := range m.On {
			if m.Name == "faces" && on.State == wire.ModelReady && on.Version == version {
				n++
			}
		}
	}
	return n
}

func waitServing(t *testing.T, c *Client, version string, want int) {
	t.Helper()
	begin := time.Now()
	for serving(c, version) != want {
		if time.Since(begin) > time.Minute {
			t.Fatalf("version %s is on %d agents after %v, want %d", version, serving(c, version), time.Since(begin), want)
		}
		run.Sleep(context.Background(), 100*time.Millisecond)
	}
}

// TestModelsEverywhere gives the fleet a model once: all agents serve it, also one that
// was off meanwhile; they follow to a newer package, and let go of it.
func TestModelsEverywhere(t *testing.T) {
	Test(t, 2, 2, func(t *testing.T, f *Fleet) {
		c := f.Via("c1")
		defer c.Close()
		f.Stop("pi-2")
		give(t, c, "7")
		waitServing(t, c, "7", 1)
		f.Start("pi-2")
		waitServing(t, c, "7", 2)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		a, err := c.InferImage(ctx, "faces", testphoto.Astronaut(), nil)
		if err != nil || a.Node == "" {
			t.Errorf("asked through the gateway: %+v, %v", a, err)
		}
		give(t, c, "8")
		waitServing(t, c, "8", 2)
		if _, err := c.RemoveModel(ctx, "faces"); err != nil {
			t.Fatal(err)
		}
		waitServing(t, c, "8", 0)
		if _, err := c.InferImage(ctx, "faces", testphoto.Astronaut(), nil); err == nil {
			t.Error("a model that is gone answers")
		}
	})
}
