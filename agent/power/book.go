package power

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"primespark/shared/identity"
)

// bookFile is the evidence of the last shutdowns, in the state directory.
const bookFile = "power.json"

// Bounds of the book.
const (
	bookEntries = 64
	bookSamples = 5
	maxBook     = 1 << 20 // bytes that are read of it
	maxLooks    = 3       // shutdowns by the battery within loopTime are a loop
	loopTime    = 2 * time.Hour
)

// A Page is a kind of entry. It is on disk for ever.
type Page string

// The kinds of entries.
const (
	Booted    Page = "boot"    // the agent started
	Moved     Page = "mode"    // a mode was entered
	Halted    Page = "halt"    // the node went down
	Restarted Page = "restart" // and was told to boot anew
	Recharged Page = "charged" // and had the charge again to work
)

// An Entry is one thing that happened to the node's power, and what was known then.
type Entry struct {
	At       time.Time `json:"at"`   // by the host's clock
	Boot     string    `json:"boot"` // of the kernel
	Page     Page      `json:"page"`
	Mode     Mode      `json:"mode"`
	Why      string    `json:"why,omitempty"`
	By       string    `json:"by,omitempty"` // of a halt: battery, operator or site
	Dry      bool      `json:"dry_run,omitempty"`
	After    []string  `json:"after,omitempty"` // of a halt by the site: who comes back before this node
	Evidence Evidence  `json:"evidence,omitzero"`
}

// Evidence is what a decision was made of.
type Evidence struct {
	AC      AC       `json:"mains,omitempty"`
	Charge  *float64 `json:"state_of_charge,omitempty"`
	From    Origin   `json:"charge_from,omitempty"`
	Minutes *float64 `json:"minutes_left,omitempty"`
	Volts   float64  `json:"cell_volts,omitempty"`
	Gauge   Health   `json:"gauge,omitempty"`
	Line    Health   `json:"mains_sense,omitempty"`
	Alarms  []Alarm  `json:"alarms,omitempty"`
	Limits  string   `json:"limits,omitempty"`
	Samples []Sample `json:"samples,omitempty"` // the last ones
}

// evidence is what a memory knows, with the thresholds that it is held against.
func (r Rules) evidence(m Memory, samples []Sample) Evidence {
	e := Evidence{AC: m.AC(), Volts: m.Volts(), Alarms: m.Alarmed(), Samples: slices.Clone(samples)}
	e.Gauge, e.Line = m.Health()
	if c := m.Charge(); c.Value >= 0 {
		e.Charge, e.From = &c.Value, c.From
		if c.Minutes >= 0 {
			e.Minutes = &c.Minutes
		}
	}
	e.Limits = fmt.Sprintf("low %.0f %%, %.2f V or %.0f min; critical %.0f %%, %.2f V or %.0f min; emergency %.2f V",
		100*r.LowCharge, r.LowVolts, r.LowMinutes, 100*r.CriticalCharge, r.CriticalVolts, r.criticalMinutes(), r.EmergencyVolts)
	return e
}

// A Book keeps the last entries in a file. It is safe to share.
type Book struct {
	dir  string
	boot string

	mu    sync.Mutex
	all   []Entry // oldest first
	dirty bool
	saved time.Time
	disk  aside
	write func(dir, name string, data []byte) error
}

type bookBody struct {
	CRC     uint32          `json:"crc"` // CRC32C of what follows
	Entries json.RawMessage `json:"entries"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenBook reads the book in a state directory. One that is damaged comes back
// empty, with an error that says so; it can be written to all the same.
func OpenBook(dir, boot string) (*Book, error) {
	b := &Book{dir: dir, boot: boot, write: identity.WriteFile}
	data, err := readBounded(filepath.Join(dir, bookFile))
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		b.all, err = decodeBook(data)
	}
	if err != nil {
		return b, fmt.Errorf("%s: %w", filepath.Join(dir, bookFile), err)
	}
	return b, nil
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBook {
		return nil, fmt.Errorf("%d bytes are too many for such a file", info.Size())
	}
	return os.ReadFile(path)
}

func decodeBook(data []byte) (all []Entry, err error) {
	var body bookBody
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if crc32.Checksum(body.Entries, castagnoli) != body.CRC {
		return nil, errors.New("damaged: its checksum does not match")
	}
	if err := json.Unmarshal(body.Entries, &all); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return all[max(0, len(all)-bookEntries):], nil
}

func encodeBook(all []Entry) ([]byte, error) {
	entries, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return json.Marshal(bookBody{crc32.Checksum(entries, castagnoli), entries})
}

// Entries are those of the book, oldest first.
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// Add puts an entry into the book. It is on disk when Add returns if it is urgent,
// or if nothing was written for a minute; else with the next one, so that mains
// that come and go do not wear the card.
func (b *Book) Add(e Entry, urgent bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.Boot = b.boot
	b.all = append(b.all, e)
	if over := len(b.all) - bookEntries; over > 0 {
		b.all = slices.Delete(b.all, 0, over)
	}
	b.dirty = true
	if !urgent && time.Since(b.saved) < time.Minute {
		return nil
	}
	return b.save()
}

// Save writes what was put off.
func (b *Book) Save() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.save()
}

// save wants the lock held. A disk that hangs is not waited for: evidence is worth less than
// the cells.
func (b *Book) save() error {
	if !b.dirty {
		return nil
	}
	data, err := encodeBook(b.all)
	if err != nil {
		return fmt.Errorf("encode the power book: %w", err)
	}
	if err := b.disk.do(fileTime, func() error { return b.write(b.dir, bookFile, data) }); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(b.dir, bookFile), err)
	}
	b.dirty, b.saved = false, time.Now()
	return nil
}

// Looping reports whether the battery shut the node down three times within the
// two hours before now. A clock that is behind the last entry says nothing of when
// that was, so it counts.
func (b *Book) Looping(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.all {
		if e.Page == Halted && e.By == ByBattery && !e.Dry && now.Sub(e.At) < loopTime {
			n++
		}
	}
	return n >= maxLooks
}

// Drained reports whether the node was shut down for its battery, by itself or by its
// site, and has not had a charge since then.
func (b *Book) Drained(charge float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.all) - 1; i >= 0; i-- {
		switch e := b.all[i]; {
		case e.Page == Halted && !e.Dry:
			return e.By != ByOperator
		case e.Page == Recharged, e.Page == Moved && e.Evidence.Charge != nil && *e.Evidence.Charge >= charge:
			return false
		}
	}
	return false
}

// Before are those of its site who come back before this node, if it was the site that
// shut it down the last time.
func (b *Book) Before() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.all) - 1; i >= 0; i-- {
		switch e := b.all[i]; {
		case e.Page == Halted && !e.Dry:
			return slices.Clone(e.After)
		case e.Page == Moved && e.Mode == Mains:
			return nil // it has been up since then
		}
	}
	return nil
}

// Who shuts a node down.
const (
	ByBattery  = "battery"
	ByOperator = "operator"
	BySite     = "site"
)
