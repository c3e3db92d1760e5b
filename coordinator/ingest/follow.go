package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"primespark/coordinator/history"
	"primespark/shared/fleet"
	"primespark/shared/run"
)

const (
	pollWait   = 20 * time.Second // for news of another coordinator's log
	pollSlack  = 10 * time.Second
	lookEvery  = time.Second // for coordinators that came or went
	retryLeast = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// A Reader reads the log of another coordinator, as its Log gives it.
type Reader func(ctx context.Context, peer, address, id string, after uint64, wait time.Duration) (history.Page, error)

// Follow returns the part that copies what other coordinators have stored.
func (i *Ingest) Follow(read Reader) run.Part {
	return run.Func("history follower", func(ctx context.Context) error {
		var all sync.WaitGroup
		defer all.Wait()
		running := map[string]context.CancelFunc{} // by name and address
		defer func() {
			for _, stop := range running {
				stop()
			}
		}()
		for {
			wanted := i.peers()
			for key, stop := range running {
				if _, ok := wanted[key]; !ok {
					stop()
					delete(running, key)
				}
			}
			for key, p := range wanted {
				if running[key] != nil {
					continue
				}
				one, stop := context.WithCancel(ctx)
				running[key] = stop
				all.Go(func() { i.follow(one, p, read) }) // waited for above
			}
			if !run.Sleep(ctx, lookEvery) {
				return nil
			}
		}
	})
}

type peer struct{ name, address string }

// peers are the coordinators whose logs are to be followed.
func (i *Ingest) peers() map[string]peer {
	all := map[string]peer{}
	for _, n := range i.cfg.State().Coordinators() {
		if n.Name != i.cfg.Self && n.Active() && i.cfg.holds(n) && n.Addresses.API != "" {
			all[n.Name+" "+n.Addresses.API] = peer{n.Name, n.Addresses.API}
		}
	}
	return all
}

// follow copies one log until ctx ends.
func (i *Ingest) follow(ctx context.Context, p peer, read Reader) {
	var id string
	var after uint64
	var wait time.Duration
	for ctx.Err() == nil {
		err := i.step(ctx, p, read, &id, &after)
		if err == nil {
			if wait > retryMost/2 {
				i.cfg.Log.Info("following the history again", "coordinator", p.name)
			}
			wait = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if wait == 0 {
			i.cfg.Log.Info("cannot follow the history of a coordinator, trying on", "coordinator", p.name, "err", err)
		}
		wait = min(max(2*wait, retryLeast), retryMost)
		run.Sleep(ctx, run.Jitter(wait))
	}
}

// step reads once, and stores what came.
func (i *Ingest) step(ctx context.Context, p peer, read Reader, id *string, after *uint64) error {
	ctx, cancel := context.WithTimeout(ctx, pollWait+pollSlack)
	defer cancel()
	page, err := read(ctx, p.name, p.address, *id, *after, pollWait)
	if err != nil {
		return err
	}
	if page.ID != *id { // its log is a new one, or we have just started
		if page.ID == "" {
			return fmt.Errorf("coordinator %s names no log", p.name)
		}
		*id, *after = page.ID, i.cfg.Store.Followed(page.ID)
		return nil
	}
	if page.Last < *after { // what comes now has numbers that others had before
		i.cfg.Log.Warn("the log of a coordinator went back, reading it anew", "coordinator", p.name, "from", *after, "to", page.Last,
			"remedy", "nothing is to be done if it was restored from a backup; otherwise look after its disk")
		*after = 0
		return nil
	}
	if len(page.Rows) == 0 {
		return nil
	}
	if page.First > *after+1 {
		i.cfg.Log.Warn("the log of a coordinator does not go back far enough", "coordinator", p.name, "rows", page.First-*after-1,
			"remedy", "nothing is to be done if the other ones were up; raise history.raw where coordinators are away for longer")
	}
	rows := make([]history.Row, 0, len(page.Rows))
	for _, r := range page.Rows {
		if fleet.ValidName(r.Node) && r.Stream.Valid() {
			rows = append(rows, r)
		}
	}
	last := page.Rows[len(page.Rows)-1].N
	if err := i.cfg.Store.Follow(ctx, page.ID, rows, last); err != nil {
		return err
	}
	i.metrics.followed.WithLabelValues(p.name).Add(float64(len(rows)))
	*after = last
	return nil
}
