package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"primespark/shared/meshnet"
)

// Where on a machine the daemon's part is played by files, which are shared with the
// test: the wish is read there, and the facts are written.
const (
	wishFile  = "/lab/wish"
	factsFile = "/lab/facts"
	helperAt  = "/run/mesh.sock"
)

// daemonMain is the whole life of a process that plays the daemon of a machine. A
// wish that is read while it is written is no JSON, and read again.
func daemonMain() error {
	c := meshnet.NewClient(helperAt, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- c.Run(context.Background()) }()
	var last, told []byte
	tick := time.NewTicker(100 * time.Millisecond)
	for {
		b, err := os.ReadFile(wishFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var w meshnet.Wanted
		if !bytes.Equal(b, last) && json.Unmarshal(b, &w) == nil {
			last = b
			c.Want(w)
		}
		facts, _ := c.Facts()
		if b, err = json.Marshal(facts); err != nil {
			return err
		}
		if !bytes.Equal(b, told) {
			if err := os.WriteFile(factsFile+".new", b, 0o644); err != nil {
				return err
			}
			if err := os.Rename(factsFile+".new", factsFile); err != nil {
				return err
			}
			told = b
		}
		select {
		case <-tick.C:
		case err := <-done:
			return err
		}
	}
}
