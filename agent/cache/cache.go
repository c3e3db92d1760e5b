// Package cache keeps results that were computed before, by what was asked.
//
// A new result is in memory only. One that was asked for a second time has proved that
// it is, and is written to the disk with the others of the last seconds, within a budget
// for each day: a camera, whose pictures never come twice, costs the card nothing. What
// is on the disk survives a restart and a power cut, save the last few seconds, which
// are computed again. The file is a help and never a need: one that is damaged is put
// aside, and a disk that takes nothing leaves a cache in memory.
package cache

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"primespark/shared/boltfile"
)

// KeySize is the size of a Key in bytes: that of a SHA-256.
const KeySize = 32

// A Key says what was asked: equal keys are equal questions.
type Key = [KeySize]byte

// Config bounds a cache. Zero bounds mean none of it.
type Config struct {
	Path   string        // of the file; empty: memory only
	Memory int64         // for results in memory, in bytes
	Disk   int64         // for those on the disk; the file may be half as large again
	Daily  int64         // bytes that are written in a day
	Age    time.Duration // of a result, since it was computed

	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// commitEvery is how long results wait for the disk, and so how many seconds of them a
// power cut takes.
const commitEvery = 5 * time.Second

// A Cache is safe to share. Run writes what is worth it to the disk.
type Cache struct {
	cfg Config

	mu      sync.Mutex
	memory  map[Key]*list.Element // of results
	recent  *list.List            // the one used last first
	held    int64                 // bytes of memory
	pending map[Key]result        // that go to the disk with the next commit
	disk    *disk                 // nil: none, or not open yet
	spent   int64                 // bytes written today
	day     time.Time             // since when that counts
}

// A result is in memory.
type result struct {
	key    Key
	at     time.Time // when it was computed
	value  []byte    // never changed
	stored bool      // it is on the disk, or about to be
}

// overhead is what a result takes in memory besides its value.
const overhead = 256

func (r result) size() int64 { return int64(len(r.value)) + overhead }

// New returns a cache in memory, which Run takes to the disk.
func New(cfg Config) (*Cache, error) {
	c := &Cache{cfg: cfg, memory: map[Key]*list.Element{}, recent: list.New(), pending: map[Key]result{}, day: time.Now()}
	gauge := func(name, help string, value func() int64) error {
		return cfg.Metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
	}
	return c, errors.Join(
		gauge("primespark_result_cache_memory_bytes", "What the results in memory take.", func() int64 { c.mu.Lock(); defer c.mu.Unlock(); return c.held }),
		gauge("primespark_result_cache_disk_bytes", "What the results on the disk take.", func() int64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.disk == nil {
				return 0
			}
			return c.disk.bytes
		}),
		gauge("primespark_result_cache_written_bytes", "What was written to the disk in the present day.", func() int64 { c.mu.Lock(); defer c.mu.Unlock(); return c.spent }),
	)
}

func (*Cache) String() string { return "result cache" }

// Get returns the result of a question, if it is known and not too old. It is not to be
// changed.
func (c *Cache) Get(k Key) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.memory[k]; ok {
		r := e.Value.(result)
		if c.old(r.at) {
			c.forget(e)
			return nil, false
		}
		c.recent.MoveToFront(e)
		if !r.stored && c.affordable(r) {
			r.stored = true
			e.Value, c.pending[k] = r, r
		}
		return r.value, true
	}
	if c.disk == nil {
		return nil, false
	}
	at, value, ok := c.disk.get(k)
	if !ok || c.old(at) {
		return nil, false
	}
	c.remember(result{k, at, value, true})
	return value, true
}

// Put keeps the result of a question. The cache owns the value from now on.
func (c *Cache) Put(k Key, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.memory[k]; ok {
		c.forget(e)
	}
	c.remember(result{key: k, at: time.Now(), value: value})
}

// old reports whether a result of that time counts no more; one of the future, before
// the clock was set, does not count either.
func (c *Cache) old(at time.Time) bool {
	age := time.Since(at)
	return age > c.cfg.Age || age < -time.Minute
}

// remember puts a result into memory; the ones that were used longest ago make room.
func (c *Cache) remember(r result) {
	if r.size() > c.cfg.Memory/4 { // it would drive out all the others
		return
	}
	c.memory[r.key] = c.recent.PushFront(r)
	c.held += r.size()
	for c.held > c.cfg.Memory {
		c.forget(c.recent.Back())
	}
}

func (c *Cache) forget(e *list.Element) {
	r := c.recent.Remove(e).(result)
	delete(c.memory, r.key)
	c.held -= r.size()
}

// page is what a record costs the card at least: its own page, and its share of those
// above it.
const page = 2 * boltfile.PageSize

func cost(r result) int64 { return int64(len(r.value)) + page }

// affordable reports whether a result may be written today.
func (c *Cache) affordable(r result) bool {
	if time.Since(c.day) >= 24*time.Hour {
		c.day, c.spent = time.Now(), 0
	}
	if c.disk == nil || c.spent+cost(r) > c.cfg.Daily || r.size() > c.cfg.Disk {
		return false
	}
	c.spent += cost(r)
	return true
}

// Run opens the file, and writes to it what is worth it until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	d := c.open()
	if d == nil {
		<-ctx.Done()
		return nil
	}
	c.mu.Lock()
	c.disk = d
	c.mu.Unlock()
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			err := c.commit(d)
			c.mu.Lock()
			c.disk = nil
			c.mu.Unlock()
			return errors.Join(err, d.db.Close())
		}
		err := c.commit(d)
		if err != nil && !failing {
			c.cfg.Log.Warn("results are not written to the disk", "err", err, "remedy", "see that the disk has room and is writable; nothing else depends on it")
		}
		failing = err != nil
	}
}

// open opens the file; nil if there is none to be had.
func (c *Cache) open() *disk {
	if c.cfg.Path == "" || c.cfg.Disk <= 0 {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(c.cfg.Path), 0o700)
	var d *disk
	if err == nil {
		d, err = openDisk(c.cfg.Path)
	}
	if errors.Is(err, boltfile.ErrDamaged) {
		aside, moved := boltfile.Aside(c.cfg.Path)
		c.cfg.Log.Warn("the cache of results was damaged, and begins anew", "err", err, "aside", aside)
		if err = moved; err == nil {
			d, err = openDisk(c.cfg.Path)
		}
	}
	if err != nil {
		c.cfg.Log.Warn("results are kept in memory only", "err", err, "remedy", "see that the disk under state_dir is writable")
		return nil
	}
	return d
}

// commit writes what waits, and drops what is too old or too much.
func (c *Cache) commit(d *disk) error {
	c.mu.Lock()
	pending := c.pending
	c.pending = map[Key]result{}
	drop := d.surplus(pending, c.cfg.Disk, c.old)
	c.mu.Unlock()
	if len(pending)+len(drop) == 0 {
		return nil
	}
	err := d.write(pending, drop) // the disk is slow, and nobody waits for it
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return err
	}
	d.note(pending, drop)
	return nil
}

// A disk is the results in the file, and an index of them.
type disk struct {
	db    *bbolt.DB
	index map[Key]row // under the cache's lock
	bytes int64
}

type row struct {
	at   time.Time
	size int64
}

var bucket = []byte("results")

// header is what stands before a value: its sum, and when it was computed, in ns.
const header = 4 + 8

func openDisk(path string) (*disk, error) {
	d := &disk{index: map[Key]row{}}
	record := func(_ string, key, value []byte) (string, error) {
		body, err := boltfile.Unseal(key, value)
		if err == nil && (len(key) != KeySize || len(body) < header-4) {
			err = errors.New("it is no result")
		}
		if err != nil {
			return fmt.Sprintf("result %.8x", key), err
		}
		r := row{timeOf(body), int64(len(value)) + page}
		d.index[Key(key)] = r
		d.bytes += r.size
		return "", nil
	}
	var err error
	d.db, err = boltfile.Open(path, []string{string(bucket)}, record)
	return d, err
}

func timeOf(body []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(body))) }

// get reads a result. Its sum is looked at: a card that decays gives no wrong answer.
func (d *disk) get(k Key) (at time.Time, value []byte, ok bool) {
	if _, there := d.index[k]; !there {
		return at, nil, false
	}
	err := d.db.View(func(tx *bbolt.Tx) error {
		body, err := boltfile.Unseal(k[:], tx.Bucket(bucket).Get(k[:]))
		if err != nil {
			return err
		}
		at, value = timeOf(body), append([]byte(nil), body[header-4:]...)
		return nil
	})
	return at, value, err == nil
}

// surplus are the results that have to go: those that are too old, and the oldest
// beyond the bound.
func (d *disk) surplus(pending map[Key]result, bound int64, old func(time.Time) bool) (drop []Key) {
	total := d.bytes
	for _, r := range pending {
		total += cost(r)
	}
	for k, r := range d.index {
		if old(r.at) {
			drop = append(drop, k)
			total -= r.size
		}
	}
	if total <= bound {
		return drop
	}
	gone := map[Key]bool{}
	for _, k := range drop {
		gone[k] = true
	}
	for total > bound {
		var oldest Key
		found := false
		for k, r := range d.index {
			if !gone[k] && (!found || r.at.Before(d.index[oldest].at)) {
				oldest, found = k, true
			}
		}
		if !found {
			return drop
		}
		gone[oldest] = true
		drop = append(drop, oldest)
		total -= d.index[oldest].size
	}
	return drop
}

func (d *disk) write(pending map[Key]result, drop []Key) error {
	err := d.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		for _, k := range drop {
			if err := b.Delete(k[:]); err != nil {
				return err
			}
		}
		for k, r := range pending {
			value := make([]byte, header, header+len(r.value))
			binary.BigEndian.PutUint64(value[4:], uint64(r.at.UnixNano()))
			if err := b.Put(k[:], boltfile.Seal(k[:], append(value, r.value...))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

func (d *disk) note(pending map[Key]result, drop []Key) {
	for _, k := range drop {
		d.bytes -= d.index[k].size
		delete(d.index, k)
	}
	for k, r := range pending {
		d.bytes += cost(r) + header - d.index[k].size
		d.index[k] = row{r.at, cost(r) + header}
	}
}
