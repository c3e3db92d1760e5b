package builtin

import (
	"fmt"

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

// times multiplies two numbers of elements, neither negative, into one that a tensor can have.
func times(a, b int) (int, error) {
	if b > 0 && a > tensor.MaxElements/b {
		return 0, fmt.Errorf("%d times %d: %w", a, b, tensor.ErrTooLarge)
	}
	return a * b, nil
}
