package api

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"primespark/agent/infer"
	"primespark/shared/model"
	"primespark/shared/oip"
)

// count notes how a request ended: "ok" with its timing, or the code of its
// problem. Requests for no model of ours count under the empty name, so that a
// client cannot make as many series as it can make names.
func (a *API) count(c *call, code string, t *infer.Timing) {
	a.metrics.requests.WithLabelValues(c.meta.Name, code).Inc()
	if c.meta.Name == "" {
		return
	}
	a.metrics.cached(c.meta.Name, c.answer.Cache)
	if t != nil && c.answer.Cache != infer.Hit {
		a.metrics.observe(c.meta.Name, *t)
		a.metrics.batch.WithLabelValues(c.meta.Name).Observe(float64(c.batchSize()))
		if c.answer.Run.First {
			a.metrics.run.WithLabelValues(c.meta.Name).Observe(float64(c.answer.Run.Size))
		}
		watts, others := a.out.Power()
		a.metrics.spent(c.meta.Name, *t, watts, others)
	}
	run := c.answer.Run
	if run.Size <= 1 { // an engine that knows no batch but the request's own
		run = infer.Run{Size: c.batchSize(), First: true}
	}
	a.stats.add(modelKey{c.meta.Name, c.version}, time.Since(c.start), c.batchSize(), run, c.answer.Cache, t)
}

type modelKey struct{ name, version string }

// stats are the counters of the statistics extension since the process began.
type stats struct {
	mu     sync.Mutex
	models map[modelKey]*modelStats
}

type modelStats struct {
	oip.ModelStats
	batches map[int]*oip.BatchStats
}

// maxBatches bounds the batch sizes that are told apart for one model; the
// others are in its sums alone.
const maxBatches = 64

// add counts a request of n inferences that took d; t is nil if it failed. One that was
// answered with a result of before was no execution, and a run of several requests is one.
func (s *stats) add(key modelKey, d time.Duration, n int, run infer.Run, kept infer.Kept, t *infer.Timing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[key]
	if m == nil {
		m = &modelStats{batches: map[int]*oip.BatchStats{}}
		s.models[key] = m
	}
	m.LastInference = time.Now().UnixMilli()
	if t == nil {
		plus(&m.Inference.Fail, d)
		return
	}
	plus(&m.Inference.Success, d)
	switch kept {
	case infer.Hit:
		plus(&m.Inference.CacheHit, t.Cache)
		return
	case infer.Miss:
		plus(&m.Inference.CacheMiss, t.Cache)
	}
	m.InferenceCount += uint64(n)
	if run.First {
		m.ExecutionCount++
	}
	plus(&m.Inference.Queue, t.Queue)
	plus(&m.Inference.ComputeInput, t.Decode)
	plus(&m.Inference.ComputeInfer, t.Infer)
	plus(&m.Inference.ComputeOutput, t.Post)
	if !run.First {
		return
	}
	b := m.batches[run.Size]
	if b == nil {
		if len(m.batches) == maxBatches {
			return
		}
		b = &oip.BatchStats{Size: run.Size}
		m.batches[run.Size] = b
	}
	plus(&b.ComputeInput, t.Decode)
	plus(&b.ComputeInfer, t.Infer)
	plus(&b.ComputeOutput, t.Post)
}

func plus(d *oip.Duration, t time.Duration) {
	d.Count++
	d.Nanos += uint64(max(0, t))
}

// of returns the statistics of a model's version, all zero if it was never asked.
func (s *stats) of(key modelKey) oip.ModelStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := oip.ModelStats{Batches: []oip.BatchStats{}}
	if m := s.models[key]; m != nil {
		out = m.ModelStats
		out.Batches = []oip.BatchStats{}
		for _, b := range m.batches {
			out.Batches = append(out.Batches, *b)
		}
		slices.SortFunc(out.Batches, func(a, b oip.BatchStats) int { return cmp.Compare(a.Size, b.Size) })
	}
	out.Name, out.Version = key.name, key.version
	return out
}

// allStats shows the statistics of every model in the index.
func (a *API) allStats(w http.ResponseWriter, _ *http.Request) error {
	return a.replyStats(w, a.out.Models.Index())
}

func (a *API) modelStats(w http.ResponseWriter, r *http.Request) error {
	name, version, err := named(r)
	if err != nil {
		return err
	}
	index := slices.DeleteFunc(slices.Clone(a.out.Models.Index()), func(s model.Status) bool {
		return s.Name != name || version != "" && s.Version != version
	})
	if len(index) == 0 {
		return unknownModel(name, version)
	}
	return a.replyStats(w, index)
}

func (a *API) replyStats(w http.ResponseWriter, index []model.Status) error {
	out := oip.Stats{Models: []oip.ModelStats{}}
	for _, s := range index {
		out.Models = append(out.Models, a.stats.of(modelKey{s.Name, s.Version}))
	}
	return reply(w, http.StatusOK, out)
}
