package builtin

import (
	"fmt"
	"math"
)

// opLayerNorm brings what lies behind an axis to a mean of 0 and a variance of 1.
func opLayerNorm(c *call) error {
	if err := c.needFloats(2, 3); err != nil {
		return err
	}
	x, scale, bias := c.in[0], c.in[1], c.input(2)
	ax, err := axis(c.int("axis", -1), len(x.shape))
	if err != nil {
		return err
	}
	n := product(x.shape[ax:])
	if scale.len() != n || bias != nil && bias.len() != n {
		return fmt.Errorf("a scale of shape %v, and a bias, for %v from dimension %d on", scale.shape, x.shape, ax)
	}
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	var more [2]*value // the mean, and the inverse of the deviation
	shape := append([]int{}, x.shape...)
	for d := ax; d < len(shape); d++ {
		shape[d] = 1
	}
	for i := range more {
		if i+1 < len(c.src.Out) && c.src.Out[i+1] != "" {
			if more[i], err = c.give(i+1, x.typ, shape...); err != nil {
				return err
			}
		}
	}
	eps := float64(c.float("epsilon", 1e-5))
	c.emit(func() []step {
		return chunkedBy(x.len()/n, max(1, 4096/n), func(from, to int) {
			for r := from; r < to; r++ {
				src, dst := x.f[r*n:(r+1)*n], y.f[r*n:(r+1)*n]
				var sum, squares float64
				for _, v := range src {
					sum += float64(v)
				}
				mean := sum / float64(n)
				for _, v := range src {
					squares += (float64(v) - mean) * (float64(v) - mean)
				}
				inverse := 1 / math.Sqrt(squares/float64(n)+eps)
				for i, v := range src {
					dst[i] = float32((float64(v)-mean)*inverse) * scale.f[i]
					if bias != nil {
						dst[i] += bias.f[i]
					}
				}
				for i, v := range [2]float64{mean, inverse} {
					if more[i] != nil {
						more[i].f[r] = float32(v)
					}
				}
			}
		})
	})
	return nil
}
