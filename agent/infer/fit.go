package infer

import (
	"errors"
	"fmt"

	"primespark/shared/tensor"
)

// Fit checks tensors against their description.
func Fit(have []tensor.Tensor, want []tensor.Spec) error {
	if len(have) != len(want) {
		return fmt.Errorf("%d tensors, want %d", len(have), len(want))
	}
	for i, t := range have {
		if err := errors.Join(t.Check(), want[i].Fits(t.Type, t.Shape)); err != nil {
			return err
		}
	}
	return nil
}
