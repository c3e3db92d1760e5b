package oip

import (
	"cmp"
	"slices"
)

// Add adds the counts of other, another server's, to s: model by model and batch
// size by batch size. Both come out in order of name and version.
func (s *Stats) Add(other Stats) {
	for _, o := range other.Models {
		i := slices.IndexFunc(s.Models, func(m ModelStats) bool { return m.Name == o.Name && m.Version == o.Version })
		if i < 0 {
			o.Batches = append([]BatchStats{}, o.Batches...)
			s.Models = append(s.Models, o)
			continue
		}
		s.Models[i].add(o)
	}
	slices.SortFunc(s.Models, func(a, b ModelStats) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
}

func (m *ModelStats) add(o ModelStats) {
	m.LastInference = max(m.LastInference, o.LastInference)
	m.InferenceCount += o.InferenceCount
	m.ExecutionCount += o.ExecutionCount
	a, b := &m.Inference, o.Inference
	for _, d := range []struct {
		to   *Duration
		from Duration
	}{
		{&a.Success, b.Success},
		{&a.Fail, b.Fail},
		{&a.Queue, b.Queue},
		{&a.ComputeInput, b.ComputeInput},
		{&a.ComputeInfer, b.ComputeInfer},
		{&a.ComputeOutput, b.ComputeOutput},
		{&a.CacheHit, b.CacheHit},
		{&a.CacheMiss, b.CacheMiss},
	} {
		d.to.add(d.from)
	}
	for _, batch := range o.Batches {
		i := slices.IndexFunc(m.Batches, func(have BatchStats) bool { return have.Size == batch.Size })
		if i < 0 {
			m.Batches = append(m.Batches, batch)
			continue
		}
		m.Batches[i].ComputeInput.add(batch.ComputeInput)
		m.Batches[i].ComputeInfer.add(batch.ComputeInfer)
		m.Batches[i].ComputeOutput.add(batch.ComputeOutput)
	}
	slices.SortFunc(m.Batches, func(a, b BatchStats) int { return cmp.Compare(a.Size, b.Size) })
}

func (d *Duration) add(o Duration) {
	d.Count += o.Count
	d.Nanos += o.Nanos
}
