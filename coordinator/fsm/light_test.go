package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"primespark/shared/fleet"
	"primespark/shared/goldentest"
)

// light is what counts of a light FSM's state.
func light(s State) State {
	s.Events, s.Tasks, s.Backup = nil, Tasks{}, Backup{}
	return s
}

// TestLightAgrees replays random histories on a whole and a light machine, which
// goes through a snapshot of the whole one at random points: the light one has all
// that it should have, at each step.
func TestLightAgrees(t *testing.T) {
	for seed := range uint64(100) {
		s := &script{rand.New(rand.NewPCG(seed, 2)), noon}
		whole, little := New(), NewLight()
		for i := range uint64(60) {
			next := s.next()
			if s.IntN(3) == 0 { // with an Idempotency-Key, which comes again
				next = Once{next, Call{Key: s.pick("1", "2", "3", "4"), Hash: Hash(s.pick("1", "2"))}}
			}
			data, err := Encode(s.at, "x", next)
			if err != nil {
				t.Fatal(err)
			}
			l := &raft.Log{Index: 2*i + 1, Data: data}
			whole.Apply(l)
			if r := little.Apply(l).(Result); r.Err == nil {
				t.Fatal("a light FSM answered a command as if it knew")
			}
			want, _ := whole.State()
			if s.IntN(10) == 0 {
				little = NewLight()
				if err := little.Restore(io.NopCloser(bytes.NewReader(written(t, want)))); err != nil {
					t.Fatal(err)
				}
			}
			got, _ := little.State()
			if got.Events != nil {
				t.Fatal("a light FSM keeps events")
			}
			if light(want).Checksum() != light(got).Checksum() {
				t.Fatalf("seed %d, entry %d: %s", seed, i, cmp.Diff(shown(t, light(want)), shown(t, light(got))))
			}
		}
	}
}

func shown(t *testing.T, s State) string {
	t.Helper()
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func written(t *testing.T, s State) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLightReadsInLittleMemory reads a state whose tasks have 20 MB.
func TestLightReadsInLittleMemory(t *testing.T) {
	body := []byte(`{"index":7,"nodes":{"c1":{"name":"c1"}},"seq":1,"tasks":{"tasks":[` +
		strings.Repeat(`"`+strings.Repeat("x", 1000)+`",{"a":[1,{"b":null}]},`, 20000) + `0]},"later":{}}`)
	sum := sha256.Sum256(body)
	head, err := json.Marshal(header{Format: snapshotFormat, Index: 7, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	r := io.MultiReader(bytes.NewReader(append(head, '\n')), bytes.NewReader(body))
	most := &peak{in: r}
	s, err := ReadLight(most)
	if err != nil || s.Index != 7 || s.Nodes["c1"].Name != "c1" {
		t.Fatalf("%+v, %v", s, err)
	}
	if most.heap > 8<<20 {
		t.Errorf("reading took up to %d bytes more on the heap, of a state of %d", most.heap, len(body))
	}
}

// A peak watches how the live heap grows while something is read through it.
type peak struct {
	in    io.Reader
	reads int
	first uint64
	heap  int64 // bytes more than at the first read
}

func (p *peak) Read(b []byte) (int, error) {
	if p.reads++; p.reads%500 == 1 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if p.first == 0 {
			p.first = m.HeapAlloc
		}
		p.heap = max(p.heap, int64(m.HeapAlloc)-int64(p.first))
	}
	return p.in.Read(b)
}

func TestLightRefusesDamage(t *testing.T) {
	f := New()
	apply(t, f, 3, noon, samples[0])
	s, _ := f.State()
	good := written(t, s)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := ReadLight(bytes.NewReader(bad)); err == nil && !headerOnly(good, i) {
			t.Errorf("byte %d of %d flipped, and nobody noticed", i, len(good))
		}
	}
	for i := range good {
		if _, err := ReadLight(bytes.NewReader(good[:i])); err == nil {
			t.Errorf("cut off after %d of %d bytes, and nobody noticed", i, len(good))
		}
	}
}

// headerOnly reports whether byte i is in the header's checksum of the state,
// which a light FSM cannot compare.
func headerOnly(b []byte, i int) bool {
	at := bytes.Index(b, []byte(`"checksum":`))
	return i >= at && i < bytes.IndexByte(b, '\n')
}

// TestApplyPassesOver: entries that a snapshot has already change nothing.
func TestApplyPassesOver(t *testing.T) {
	f := New()
	apply(t, f, 3, noon, samples[0])
	apply(t, f, 5, noon, samples[1])
	before, _ := f.State()
	for _, index := range []uint64{3, 4, 5} {
		if r := apply(t, f, index, noon, TokenRevoke{ID: "t9"}); r.Err != nil {
			t.Errorf("entry %d: %v", index, r.Err)
		}
	}
	if after, _ := f.State(); after.Checksum() != before.Checksum() {
		t.Error("an entry that is in the state already changed it")
	}
}

// TestWitness: which nodes may become one, and what the entry looks like on disk.
func TestWitness(t *testing.T) {
	f := New()
	for i, c := range samples[:3] {
		apply(t, f, uint64(i+1), noon, c)
	}
	b, err := Encode(noon, "coordinator:c2", NodeAnnounce{Name: "c2", Version: "1.1", Witness: true})
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "node.announce-witness.json", b)
	for _, step := range []struct {
		c    Command
		want string // part of the refusal; empty: done
	}{
		{NodeAnnounce{Name: "pi-1", Witness: true}, "is of role agent"},
		{NodeAnnounce{Name: "c1", Witness: true}, "the only coordinator that can lead"},
		{CodeCreate{ID: "k3", Hash: Hash("x"), Role: fleet.Coordinator, Uses: 2, Expires: noon.Add(time.Hour)}, ""},
		{NodeJoin{Code: "k3", Hash: Hash("x"), Name: "c2", Role: fleet.Coordinator, Key: Hash("key of c2")}, ""},
		{NodeAnnounce{Name: "c2", Witness: true}, ""},
		{NodeRevoke{Name: "c1"}, "is the only coordinator"},
		{NodeAnnounce{Name: "c1", Witness: true}, "the only coordinator that can lead"},
		{NodeAnnounce{Name: "c2"}, ""},
		{NodeAnnounce{Name: "c1", Witness: true}, ""},
		{NodeRevoke{Name: "c1"}, ""},
	} {
		before, _ := f.State()
		r := apply(t, f, before.Index+1, noon, step.c)
		if (r.Err == nil) != (step.want == "") || r.Err != nil && !strings.Contains(r.Err.Error(), step.want) {
			t.Errorf("%s %+v: %v, want %q", step.c.Kind(), step.c, r.Err, step.want)
		}
	}
}

func FuzzReadLight(f *testing.F) {
	m := New()
	s, _ := m.State()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ReadLight(bytes.NewReader(b))
		if err != nil {
			return
		}
		whole, err := ReadState(bytes.NewReader(b))
		if err != nil && !errors.Is(err, ErrSnapshot) {
			t.Errorf("light reads what is refused as %v", err)
		}
		if err == nil && light(whole).Checksum() != light(got).Checksum() {
			t.Errorf("light reads something else:\n%s", cmp.Diff(shown(t, light(whole)), shown(t, light(got))))
		}
	})
}
