package builtin

import (
	"fmt"

	"primespark/agent/infer"
	"primespark/shared/tensor"
)

// checked is an error for a shape of too many elements. Dimensions of 0 count as 1,
// so that no product of some of the dimensions overflows either.
func checked(shape []int) error {
	n := 1
	for _, d := range shape {
		var err error
		if n, err = times(n, max(d, 1)); err != nil || d < 0 {
			return fmt.Errorf("shape %v: %w", shape, tensor.ErrTooLarge)
		}
	}
	return nil
}

// charge counts memory that the session is about to take while it is compiled: constants,
// tables, copies and packed weights. It is an error when the sum is more than the session
// may use; whoever charges does so before allocating.
func (c *compiler) charge(bytes int64) error {
	if c.fixed += bytes; c.fixed > c.options.memory {
		return fmt.Errorf("%w: more than the %d MiB of memory that it may use; declare resources.memory in its manifest, or run it on another engine",
			infer.ErrMemory, c.options.memory>>20)
	}
	return nil
}

// nodeBytes is about what a node takes by itself: its calls, values and steps.
const nodeBytes = 1 << 10

// maxWork bounds the operations of one inference: some minutes on the slowest machine that
// the engine is meant for. Real models of its size stay below a hundredth of it.
const maxWork = 1 << 40

// toil counts the operations of a node.
func (c *compiler) toil(k *call) error {
	elements := int64(0)
	for _, v := range k.in {
		if v != nil {
			elements += int64(v.len())
		}
	}
	for _, v := range k.node.out {
		elements += int64(v.len())
	}
	if c.work += max(k.node.macs, k.node.work, elements); c.work > maxWork {
		return fmt.Errorf("an inference would take more than the %d billion operations that it may; run the model on another engine, or a smaller one", maxWork/1_000_000_000)
	}
	return nil
}

// times multiplies two numbers of elements, neither negative, into one that a tensor can have.
func times(a, b int) (int, error) {
	if b > 0 && a > tensor.MaxElements/b {
		return 0, fmt.Errorf("%d times %d: %w", a, b, tensor.ErrTooLarge)
	}
	return a * b, nil
}
