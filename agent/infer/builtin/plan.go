package builtin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"primespark/agent/infer"
)

// A plan is the memory of a session: where in the two arenas every value lives.
type plan struct {
	floats, ints int // elements of the arenas
	scratch      int // floats for each worker
}

// arenaAlign is the number of elements that a value's place is a multiple of: a
// cache line of floats.
const arenaAlign = 16

// plan gives every value that is not constant a place.
func (c *compiler) plan() (plan, error) {
	c.nodes = slices.DeleteFunc(c.nodes, func(n *node) bool { return n.dropped })
	for i, n := range c.nodes {
		n.index = i
	}
	c.settle()
	all := c.lifetimes()
	p := plan{scratch: minScratch}
	var floats, ints []*value
	for _, v := range all {
		if v.isFloat() {
			floats = append(floats, v)
		} else {
			ints = append(ints, v)
		}
	}
	for _, v := range [2]struct {
		values []*value
		size   *int
	}{{floats, &p.floats}, {ints, &p.ints}} {
		var err error
		if *v.size, err = arrange(c.ctx, v.values); err != nil {
			return p, err
		}
	}
	for _, n := range c.nodes {
		p.scratch = max(p.scratch, n.scratch)
	}
	if need := p.bytes(c.options.threads) + c.fixed; need > c.options.memory {
		return p, fmt.Errorf("%w: %d MiB, more than the %d MiB of memory that it may use; declare resources.memory in its manifest, or run it on another engine",
			infer.ErrMemory, need>>20, c.options.memory>>20)
	}
	return p, nil
}

// bytes is the memory of the plan for some workers.
func (p plan) bytes(threads int) int64 {
	return int64(p.floats+slack)*4 + int64(p.ints)*8 + int64(threads)*int64(p.scratch+slack)*4
}

// settle moves values into others: the inputs of a concatenation into its output, and
// the output of an element-wise node into the input that it is the last to read.
func (c *compiler) settle() {
	for _, n := range c.nodes {
		if n.gather {
			c.settleConcat(n)
		}
	}
	last := c.lastReads()
	for _, n := range c.nodes {
		if n.inplace == 0 || n.inplace > len(n.in) || n.out[0].home != nil {
			continue
		}
		in, out := n.in[n.inplace-1], n.out[0]
		root, _ := in.root()
		if root != in || in.output || in.isFloat() != out.isFloat() || last[root] != n.index || in.len() != out.len() || n.readsOther(in) {
			continue
		}
		out.home, out.offset = root, 0
		last[root] = max(last[root], last[out])
	}
}

// readsOther reports whether the node reads memory of v under another guise, at
// elements that it may have overwritten already.
func (n *node) readsOther(v *value) bool {
	return slices.ContainsFunc(n.in, func(o *value) bool {
		root, _ := o.root()
		return root == v && o != v
	})
}

// lastReads tells for each root the index of the last node that reads it, directly or
// through a view.
func (c *compiler) lastReads() map[*value]int {
	last := map[*value]int{}
	for _, n := range c.nodes {
		for _, v := range n.in {
			root, _ := v.root()
			last[root] = n.index
			last[v] = n.index
		}
		for g := n.guard; g != nil; g = g.outer {
			root, _ := g.cond.root()
			last[root] = n.index + 1 // it is not to be overwritten by the node either
		}
	}
	for _, v := range c.outputs {
		root, _ := v.root()
		last[root] = len(c.nodes)
		last[v] = len(c.nodes)
	}
	return last
}

// maxNested bounds the depth of concatenations inside of others, and so the way
// from a value to its root.
const maxNested = 16

// settleConcat lets the inputs of a concatenation be computed where they end up.
func (c *compiler) settleConcat(n *node) {
	out, at := n.out[0], 0
	for _, v := range n.parts {
		if root, _ := v.root(); root == v && !v.constant && v != out && v.producer != nil && v.len() > 0 && v.nested < maxNested {
			v.home, v.offset = out, at
			out.nested = max(out.nested, v.nested+1)
		}
		at += v.len()
	}
}

// lifetimes lists the values that need a place of their own, each with the
// indices of the nodes that write it first and read it last.
func (c *compiler) lifetimes() []*value {
	var all []*value
	seen := map[*value]bool{}
	touch := func(v *value, at int) {
		root, _ := v.root()
		if root.constant {
			return
		}
		if !seen[root] {
			seen[root] = true
			root.first, root.last = at, at
			all = append(all, root)
		}
		root.first, root.last = min(root.first, at), max(root.last, at)
	}
	for _, v := range c.inputs {
		touch(v, -1)
	}
	for _, n := range c.nodes {
		for _, v := range slices.Concat(n.in, n.out) {
			touch(v, n.index)
		}
		for g := n.guard; g != nil; g = g.outer {
			touch(g.cond, n.index)
		}
		if n.temp != nil {
			touch(n.temp, n.index)
		}
	}
	for _, v := range c.outputs {
		touch(v, len(c.nodes))
	}
	return all
}

// A gap is free memory of the arena; the last one has no end.
type gap struct{ from, to int }

// arrange gives the values places so that no two that are alive at once overlap:
// in the order in which they are born, each into the smallest gap that holds it.
// It returns the elements
// needed, or why ctx ended.
func arrange(ctx context.Context, values []*value) (size int, err error) {
	slices.SortStableFunc(values, func(a, b *value) int { return cmp.Compare(a.first, b.first) })
	byEnd := slices.Clone(values)
	slices.SortStableFunc(byEnd, func(a, b *value) int { return cmp.Compare(a.last, b.last) })
	const end = 1 << 62
	gaps := []gap{{0, end}}
	for i, v := range values {
		if i%1024 == 0 && ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		for len(byEnd) > 0 && byEnd[0].last < v.first {
			gaps = release(gaps, gap{byEnd[0].place, byEnd[0].place + byEnd[0].room()})
			byEnd = byEnd[1:]
		}
		need, best := v.room(), -1
		for i, g := range gaps {
			if g.to-g.from >= need && (best < 0 || g.to-g.from < gaps[best].to-gaps[best].from) {
				best = i
			}
		}
		v.place = gaps[best].from
		gaps[best].from += need
		if gaps[best].from == gaps[best].to {
			gaps = slices.Delete(gaps, best, best+1)
		}
		size = max(size, v.place+need)
	}
	return size, nil
}

// room is the length of a value in the arena.
func (v *value) room() int { return (v.len() + arenaAlign - 1) / arenaAlign * arenaAlign }

// release puts a gap back in order, joined with its neighbours.
func release(gaps []gap, g gap) []gap {
	if g.from == g.to {
		return gaps
	}
	i, _ := slices.BinarySearchFunc(gaps, g.from, func(x gap, at int) int { return cmp.Compare(x.from, at) })
	gaps = slices.Insert(gaps, i, g)
	if i+1 < len(gaps) && gaps[i].to == gaps[i+1].from {
		gaps[i].to = gaps[i+1].to
		gaps = slices.Delete(gaps, i+1, i+2)
	}
	if i > 0 && gaps[i-1].to == gaps[i].from {
		gaps[i-1].to = gaps[i].to
		gaps = slices.Delete(gaps, i, i+1)
	}
	return gaps
}

// place makes the arenas and gives all values their elements. Values that are views are
// resolved through their roots.
func (c *compiler) place(p plan) {
	floats, ints := make([]float32, p.floats+slack), make([]int64, p.ints)
	put := func(v *value) {
		root, at := v.root()
		if v.constant {
			return
		}
		n := v.len()
		switch {
		case root.constant:
			v.f, v.i = root.f, root.i
		case v.isFloat():
			v.f = floats[root.place+at : root.place+at+n]
		default:
			v.i = ints[root.place+at : root.place+at+n]
		}
	}
	for _, v := range c.inputs {
		put(v)
	}
	for _, n := range c.nodes {
		for _, v := range slices.Concat(n.in, n.out) {
			put(v)
		}
		if n.temp != nil {
			put(n.temp)
		}
	}
	for _, v := range c.outputs {
		put(v)
	}
}
