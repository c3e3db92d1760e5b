package builtin

import (
	"errors"
	"fmt"
	"math"
)

var errTraining = errors.New("a layer in training mode; export the model for inference")

func opLRN(c *call) error {
	if err := c.needFloats(1, 1); err != nil {
		return err
	}
	x := c.in[0]
	if len(x.shape) < 3 {
		return fmt.Errorf("an image of shape %v", x.shape)
	}
	size := c.int("size", 1)
	if size < 1 || size > maxWindow {
		return fmt.Errorf("size %d", size)
	}
	alpha, beta, bias := float64(c.float("alpha", 1e-4)), float64(c.float("beta", 0.75)), float64(c.float("bias", 1))
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	c.node.heavy = true
	channels, plane := x.shape[1], product(x.shape[2:])
	c.node.work = int64(x.len()) * int64(min(size, channels))
	before, after := (size-1)/2, size-1-(size-1)/2
	c.emit(func() []step {
		return []step{{x.shape[0] * channels, func(i int, w *worker) {
			image, ch := i/channels*channels, i%channels
			from, to := max(0, ch-before), min(channels-1, ch+after)
			for p := range plane {
				if w.stopped() {
					return
				}
				sum := 0.0
				for k := from; k <= to; k++ {
					v := float64(x.f[(image+k)*plane+p])
					sum += v * v
				}
				y.f[i*plane+p] = float32(float64(x.f[i*plane+p]) / math.Pow(bias+alpha/float64(size)*sum, beta))
			}
		}}}
	})
	return nil
}

func opInstanceNorm(c *call) error {
	if err := c.needFloats(3, 3); err != nil {
		return err
	}
	x := c.in[0]
	channels, err := channelsOf(x)
	if err != nil {
		return err
	}
	for _, v := range c.in[1:] {
		if v.len() != channels {
			return errChannels(v, channels)
		}
	}
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	eps, set := float64(c.float("epsilon", 1e-5)), c.kernels()
	planes := x.shape[0] * channels
	c.emit(func() []step {
		size := x.len() / planes
		return []step{{planes, func(i int, _ *worker) {
			src := x.f[i*size : (i+1)*size]
			mean, squares := 0.0, 0.0
			for _, v := range src {
				mean += float64(v)
			}
			mean /= float64(size)
			for _, v := range src {
				squares += (float64(v) - mean) * (float64(v) - mean)
			}
			k := float64(c.in[1].f[i%channels]) / math.Sqrt(squares/float64(size)+eps)
			set.Affine(y.f[i*size:(i+1)*size], src, float32(k), float32(float64(c.in[2].f[i%channels])-mean*k), -inf, inf)
		}}}
	})
	return nil
}
