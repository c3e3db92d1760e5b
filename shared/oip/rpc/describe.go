package rpc

import (
	"google.golang.org/protobuf/encoding/protowire"

	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/tensor"
)

func serverMetadata(s oip.Server) message {
	b := appendString(appendString(nil, 1, s.Name), 2, s.Version)
	for _, e := range s.Extensions {
		b = appendElement(b, 3, e)
	}
	return message{b}
}

func modelMetadata(m model.Metadata) message {
	b := appendString(nil, 1, m.Name)
	for _, v := range m.Versions {
		b = appendElement(b, 2, v)
	}
	b = appendString(b, 3, m.Platform)
	specs := func(num protowire.Number, all []tensor.Spec) {
		for _, s := range all {
			b = appendElement(b, num, appendShape(appendString(appendString(nil, 1, s.Name), 2, string(s.Type)), 3, s.Shape))
		}
	}
	specs(4, m.Inputs)
	specs(5, m.Outputs)
	return message{b}
}

func repositoryIndex(rows []model.Status) message {
	var b []byte
	for _, r := range rows {
		row := appendString(appendString(nil, 1, r.Name), 2, r.Version)
		b = appendElement(b, 1, appendString(appendString(row, 3, string(r.State)), 4, r.Reason))
	}
	return message{b}
}

func modelStatistics(s oip.Stats) message {
	var b []byte
	for _, m := range s.Models {
		one := appendString(appendString(nil, 1, m.Name), 2, m.Version)
		one = appendUint(one, 3, uint64(m.LastInference))
		one = appendUint(one, 4, m.InferenceCount)
		one = appendUint(one, 5, m.ExecutionCount)
		i := m.Inference
		one = appendElement(one, 6, durations(1, i.Success, i.Fail, i.Queue, i.ComputeInput, i.ComputeInfer, i.ComputeOutput, i.CacheHit, i.CacheMiss))
		for _, batch := range m.Batches {
			row := appendUint(nil, 1, uint64(batch.Size))
			one = appendElement(one, 7, append(row, durations(2, batch.ComputeInput, batch.ComputeInfer, batch.ComputeOutput)...))
		}
		b = appendElement(b, 1, one)
	}
	return message{b}
}

// durations encodes StatisticDurations as fields from first on.
func durations(first protowire.Number, all ...oip.Duration) (b []byte) {
	for i, d := range all {
		b = appendElement(b, first+protowire.Number(i), appendUint(appendUint(nil, 1, d.Count), 2, d.Nanos))
	}
	return b
}
