package hailotest_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"primespark/hailo/hailotest"
	"primespark/hailo/hef"
	"primespark/hailo/hef/synth"
	"primespark/shared/worker/frame"
)

// session is a model that is loaded and has its arena.
type session struct {
	*hailotest.Process
	group  hef.Group
	model  uint32
	loaded frame.LoadReply
	plan   frame.Plan
	arena  *frame.Arena
	depth  int
}

const depth = 4

func request(g hef.Group) frame.LoadRequest {
	return frame.LoadRequest{Name: g.Name, Depth: depth, Timeout: 10 * time.Second, Facts: g.Facts()}
}

// load reads m's file as an agent does, and loads it.
func load(t testing.TB, p *hailotest.Process, m synth.Model) *session {
	t.Helper()
	b := m.Bytes()
	f, err := hef.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{Process: p, group: f.Groups[0], depth: depth}
	s.model, s.loaded, err = p.Load(t.Context(), request(s.group), hailotest.File(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if s.plan, err = frame.PlanSlots(s.loaded, depth); err != nil {
		t.Fatal(err)
	}
	if s.arena, err = frame.NewArena(s.plan.Size); err != nil {
		t.Fatal(err)
	}
	if err := p.Map(t.Context(), s.model, s.arena); err != nil {
		t.Fatal(err)
	}
	return s
}

// paint fills the inputs of a slot with rectangles, of another kind for each seed.
func (s *session) paint(slot int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	at, _ := s.plan.Slot(slot)
	for i, in := range s.group.Inputs {
		image := s.arena.Bytes()[at+s.plan.In[i]:][:s.loaded.Inputs[i].Bytes]
		for j := range image {
			image[j] = byte(seed) % 100 // no class of those that are looked for
		}
		for range 6 {
			x, y, v := random.IntN(in.Width), random.IntN(in.Height), byte(175+random.IntN(81))
			for dy := range min(20, in.Height-y) {
				for dx := range min(30, in.Width-x) {
					image[((y+dy)*in.Width+x+dx)*in.Features] = v
				}
			}
		}
	}
}

// differs compares the outputs of a slot with what they should be.
func (s *session) differs(slot int) error {
	in, out := s.plan.Slot(slot)
	mem := s.arena.Bytes()
	image := func(i int) []byte { return mem[in+s.plan.In[i]:][:s.loaded.Inputs[i].Bytes] }
	got := func(i int) []float32 { return hailotest.Floats(mem[out+s.plan.Out[i]:][:s.loaded.Outputs[i].Bytes]) }
	if len(s.group.NMS) > 0 {
		return equal("boxes", got(0), hailotest.Boxes(s.group.Inputs[0], s.group.NMS[0], image(0)))
	}
	for i, o := range s.group.Outputs {
		if err := equal(o.Name, got(i), hailotest.Means(o, image(i%len(s.group.Inputs)))); err != nil {
			return err
		}
	}
	return nil
}

func equal(name string, got, want []float32) error {
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-5 {
			return fmt.Errorf("%s: element %d is %v, want %v", name, i, got[i], want[i])
		}
	}
	return nil
}

// work runs n different images, depth at a time, and compares every answer.
func (s *session) work(t testing.TB, n int) {
	t.Helper()
	var all sync.WaitGroup
	for slot := range s.depth {
		all.Go(func() {
			in, out := s.plan.Slot(slot)
			for i := slot; i < n; i += s.depth {
				s.paint(slot, uint64(i)+uint64(s.model)<<32)
				if _, err := s.Infer(t.Context(), s.model, in, out); err != nil {
					t.Errorf("image %d: %v", i, err)
					return
				}
				if err := s.differs(slot); err != nil {
					t.Errorf("image %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func models() map[string]synth.Model {
	two := synth.Tensors("two", 48, 3, 7)
	two.Inputs = append(two.Inputs, hef.Stream{Name: "two/input_layer2", Height: 20, Width: 30, Features: 3, Scale: 1})
	return map[string]synth.Model{
		"1 output":   synth.Tensors("one", 64, 1, 100),
		"6 outputs":  synth.Tensors("six", 64, 6, 50),
		"2 inputs":   two,
		"boxes":      synth.Detector("yolo", 96, 80, 100),
		"many boxes": synth.Detector("yolo", 64, 110, 20),
	}
}
