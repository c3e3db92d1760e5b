package hef

import "primespark/shared/worker/frame"

// Facts are what a worker holds the library's word against when it loads g. What
// the library is free to describe otherwise, such as an output that an argmax on
// the host shrinks, is left out.
func (g Group) Facts() []frame.Fact {
	var facts []frame.Fact
	add := func(s Stream, output bool) {
		if s.Transposed || s.Planes || s.ChipNMS {
			return
		}
		facts = append(facts, frame.Fact{
			Output: output, Name: s.Name, Shape: [3]int{s.Height, s.Width, s.Features},
			Scale: s.Scale, Zero: s.ZeroPoint, Unquantizable: s.PerFeature,
		})
	}
	for _, s := range g.Inputs {
		add(s, false)
	}
	switch {
	case len(g.Logits) > 0 || len(g.NMS) > 1:
	case len(g.NMS) == 1 && g.NMS[0].BoxesOnly:
	case len(g.NMS) == 1:
		n := g.NMS[0]
		facts = append(facts, frame.Fact{Output: true, NMS: true, Name: n.Name, Shape: [3]int{n.Classes, n.PerClass}, Unquantizable: true})
	default:
		for _, s := range g.Outputs {
			add(s, true)
		}
	}
	return facts
}
