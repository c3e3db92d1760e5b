package hailo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"primespark/hailo/hef"
	"primespark/shared/run"
	"primespark/shared/worker"
)

// A Selftest is what the owner of a board pastes into an issue: what the host is
// like, and what the chip did.
type Selftest struct {
	OK       bool      `json:"ok"`
	Findings []Finding `json:"findings"` // what is wrong; those of severity fault first
	Facts    Facts     `json:"host"`
	Status   Status    `json:"status"`
	File     string    `json:"file,omitempty"`
	HEF      *hef.File `json:"hef,omitempty"`
	Steps    []Step    `json:"steps"`
	// Figures of the run; nil if it did not come to that.
	Figures *Figures `json:"figures,omitempty"`
}

// A Step is one thing that was tried.
type Step struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Millis float64 `json:"ms"`
	Detail string  `json:"detail,omitempty"`
}

// Figures are of the model that was run.
type Figures struct {
	Frames     int       `json:"frames"` // of each of the two ways
	Sequential float64   `json:"sequential_fps"`
	Pipelined  float64   `json:"pipelined_fps"`
	Depth      int       `json:"depth"`
	Latency    Quantiles `json:"latency_ms"`       // of one at a time, in all
	Library    Quantiles `json:"library_ms"`       // of those, within HailoRT
	Recovery   float64   `json:"recovery_ms"`      // from the worker's death to the next answer
	Heat       []float64 `json:"temp_c_after"`     // °C
	Stable     bool      `json:"same_answers"`     // each time, for the same picture
	Anchor     string    `json:"anchor,omitempty"` // what others measured
}

// anchors are what owners of a Raspberry Pi 5 report of yolov8s at 640 × 640.
var anchors = map[hef.Chip]string{
	hef.Hailo8:  "yolov8s: 309 frames/s, 6.7 ms on a Pi 5 at Gen 3",
	hef.Hailo8L: "yolov8s: 58 frames/s, 13.3 ms on a Pi 5",
}

// RunSelftest tries the chip with the first of the HEF files that is for it, with
// so many frames one by one and as many at a time; it takes as long as those do,
// and a few seconds. Without a file it is a test without a model. Say is told of
// each step as it ends.
func RunSelftest(ctx context.Context, cfg Config, files []string, frames int, say func(Step)) Selftest {
	s := New(cfg)
	t := &trial{Selftest: Selftest{Facts: cfg.Facts(), Findings: []Finding{}}, sup: s, say: say}
	if cfg.Library == "" {
		t.Findings = append(t.Findings, Diagnose(t.Facts)...)
	}
	if !t.hopeless() {
		own, cancel := context.WithCancel(ctx)
		var ended sync.WaitGroup
		ended.Go(func() { _ = run.All(own, s) }) // what it has to say is in the status
		t.run(ctx, files, frames)
		cancel()
		ended.Wait()
	}
	t.OK = !slices.ContainsFunc(t.Steps, func(st Step) bool { return !st.OK }) && !slices.ContainsFunc(t.Findings, func(f Finding) bool { return f.Severity == Fault }) && len(t.Steps) > 0
	return t.Selftest
}

type trial struct {
	Selftest
	sup *Supervisor
	say func(Step)
}

// hopeless reports whether the host itself is in the way.
func (t *trial) hopeless() bool {
	return slices.ContainsFunc(t.Findings, func(f Finding) bool { return f.Severity == Fault || f.Code == Absent })
}

// step does one thing and notes how it went.
func (t *trial) step(name string, do func() (string, error)) bool {
	begin := time.Now()
	detail, err := do()
	if err != nil {
		detail = err.Error()
		if down, ok := errors.AsType[*Down](err); ok {
			t.Findings = append(t.Findings, down.Finding)
		}
	}
	st := Step{name, err == nil, millis(time.Since(begin)), detail}
	t.Steps = append(t.Steps, st)
	if t.say != nil {
		t.say(st)
	}
	return err == nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// upTime is how long a worker may take to come up.
const upTime = 30 * time.Second

func (t *trial) run(ctx context.Context, files []string, frames int) {
	defer func() { t.Status = t.sup.Status().Get() }()
	up := func() (string, error) {
		in, cancel := context.WithTimeout(ctx, upTime)
		defer cancel()
		st, err := t.sup.Status().Until(in, func(st Status) bool { return st.State == StateReady || st.Cause != nil })
		switch {
		case err != nil:
			return "", fmt.Errorf("the worker did not come up within %v: %w", upTime, err)
		case st.Cause != nil:
			return "", &Down{Finding: *st.Cause}
		}
		return fmt.Sprintf("%s, HailoRT %s, firmware %s, worker %s", st.Arch, st.Library, st.Firmware, st.Worker.Kind), nil
	}
	if !t.step("start the worker, identify the chip", up) || len(files) == 0 {
		return
	}
	var m *Model
	if !t.step("load a model", func() (string, error) {
		var failed error
		for _, path := range files {
			var err error
			if m, err = t.load(ctx, path); err == nil {
				t.File = path
				return fmt.Sprintf("%s: %d bytes in, %d tensors out", path, m.Shape().Inputs[0].Bytes, len(m.Shape().Outputs)), nil
			}
			failed = errors.Join(failed, fmt.Errorf("%s: %w", path, err))
		}
		return "", failed
	}) {
		return
	}
	f := &Figures{Frames: frames, Depth: t.sup.Depth(), Stable: true, Anchor: anchors[t.sup.Status().Get().Chip]}
	t.Figures = f
	var answer []byte
	if !t.step(fmt.Sprintf("%d frames one by one", frames), func() (string, error) { return t.sequential(ctx, m, frames, f, &answer) }) {
		return
	}
	t.step(fmt.Sprintf("%d frames, %d at a time", frames, f.Depth), func() (string, error) { return t.pipelined(ctx, m, frames, f, answer) })
	t.step("kill the worker, and go on", func() (string, error) { return t.recover(ctx, m, f, answer) })
	t.step("measure the temperature", func() (string, error) {
		f.Heat = t.sup.Status().Get().Temperature
		if len(f.Heat) == 0 {
			return "this board does not answer", nil
		}
		return fmt.Sprintf("%.1f °C", slices.Max(f.Heat)), nil
	})
}

func (t *trial) load(ctx context.Context, path string) (*Model, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	spec, h, err := ReadSpec(file, info.Size())
	if err != nil {
		return nil, err
	}
	t.HEF = h
	if err := t.sup.Status().Get().Fits(h); err != nil {
		return nil, err
	}
	in, cancel := context.WithTimeout(ctx, worker.LoadTime)
	defer cancel()
	return t.sup.Add(in, spec)
}

// picture fills the inputs with a pattern that has edges and slopes.
func picture(tensors [][]byte) {
	for _, b := range tensors {
		for i := range b {
			b[i] = byte(i*7 ^ i>>9)
		}
	}
}

// one runs one frame and returns a copy of what came out.
func one(ctx context.Context, m *Model) (answer []byte, t Timing, err error) {
	t, err = m.Infer(ctx, picture, func(out [][]byte, _ [][]int) {
		for i, o := range out {
			if tensor := m.Shape().Outputs[i]; tensor.Classes > 0 {
				o = o[:NMSBytes(o, tensor.Classes, tensor.PerClass)]
			}
			answer = append(answer, o...)
		}
	})
	return answer, t, err
}

func (t *trial) sequential(ctx context.Context, m *Model, frames int, f *Figures, answer *[]byte) (string, error) {
	var all, library worker.Ring
	begin := time.Now()
	for range frames {
		start := time.Now()
		got, timing, err := one(ctx, m)
		if err != nil {
			return "", err
		}
		all.Add(time.Since(start))
		library.Add(timing.Library)
		if *answer == nil {
			*answer = got
		}
		f.Stable = f.Stable && bytes.Equal(got, *answer)
	}
	f.Sequential = float64(frames) / time.Since(begin).Seconds()
	f.Latency, f.Library = all.Quantiles(), library.Quantiles()
	return fmt.Sprintf("%.0f frames/s, %.2f ms in the middle, %.2f ms of that in HailoRT", f.Sequential, f.Latency.P50, f.Library.P50), nil
}

func (t *trial) pipelined(ctx context.Context, m *Model, frames int, f *Figures, answer []byte) (string, error) {
	var mu sync.Mutex
	var failed error
	left := frames
	begin := time.Now()
	var all sync.WaitGroup
	for range f.Depth {
		all.Go(func() {
			for {
				mu.Lock()
				more := left > 0 && failed == nil
				left--
				mu.Unlock()
				if !more {
					return
				}
				got, _, err := one(ctx, m)
				mu.Lock()
				failed = errors.Join(failed, err)
				f.Stable = f.Stable && (err != nil || bytes.Equal(got, answer))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if failed != nil {
		return "", failed
	}
	f.Pipelined = float64(frames) / time.Since(begin).Seconds()
	if !f.Stable {
		return "", errors.New("the same picture gave other answers")
	}
	return fmt.Sprintf("%.0f frames/s", f.Pipelined), nil
}

// recover kills the worker and waits for the next answer: the drill that needs no
// unplugging.
func (t *trial) recover(ctx context.Context, m *Model, f *Figures, answer []byte) (string, error) {
	st := t.sup.Status().Get()
	begin := time.Now()
	if err := syscall.Kill(st.Worker.PID, syscall.SIGKILL); err != nil {
		return "", fmt.Errorf("kill the worker: %w", err)
	}
	if _, err := t.sup.Status().Until(ctx, func(now Status) bool { return now.Restarts > st.Restarts }); err != nil {
		return "", err
	}
	got, _, err := one(ctx, m)
	if err != nil {
		return "", err
	}
	f.Recovery = millis(time.Since(begin))
	if !bytes.Equal(got, answer) {
		return "", errors.New("the next worker gives another answer")
	}
	return fmt.Sprintf("the next answer after %.0f ms", f.Recovery), nil
}
