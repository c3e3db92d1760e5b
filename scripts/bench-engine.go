//go:build ignore

// Command bench-engine is the builtin engine's side of bench-engine.sh. It loads a
// model, says what it is in one line of JSON, reads the inputs from a file, one behind
// the other, and then for each number on its standard input runs so many inferences and
// prints the CPU milliseconds that one took. The outputs of the last one go to a file.
// Kernels is the set of kernels, or "best"; an INPUT=1x3x320x320 closes open dimensions.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"primespark/agent/infer/builtin"
	"primespark/agent/infer/builtin/kernel"
	"primespark/shared/tensor"
)

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: bench-engine MODEL INPUT OUTPUT KERNELS [INPUT=SHAPE...]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-engine:", err)
		os.Exit(1)
	}
}

// backend is the engine on one thread, with the kernels and shapes that were asked for.
func backend(kernels string, shapes []string) (builtin.Backend, error) {
	b := builtin.Backend{Threads: 1, Shapes: map[string][]int{}}
	for _, arg := range shapes {
		name, list, _ := strings.Cut(arg, "=")
		b.Shapes[name] = []int{}
		for d := range strings.SplitSeq(list, "x") {
			n, err := strconv.Atoi(d)
			if err != nil && list != "" {
				return b, fmt.Errorf("shape %s: %w", arg, err)
			}
			if list != "" {
				b.Shapes[name] = append(b.Shapes[name], n)
			}
		}
	}
	for _, set := range kernel.Sets() {
		if set.String() == kernels {
			b.Kernels = &set
		}
	}
	if b.Kernels == nil && kernels != "best" {
		return b, fmt.Errorf("this machine has no kernels %q, only %v", kernels, kernel.Sets())
	}
	return b, nil
}

func run(model, input, output, kernels string, shapes []string) error {
	ctx := context.Background()
	b, err := backend(kernels, shapes)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(model)
	if err != nil {
		return err
	}
	s, err := b.LoadBytes(ctx, data)
	if err != nil {
		return err
	}
	defer s.Close()
	stats := s.Stats()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"inputs": s.Inputs(), "macs": stats.MACs, "kernels": stats.Kernels.String(), "arena": stats.Arena,
	}); err != nil {
		return err
	}
	var in, out []tensor.Tensor
	for i, spec := range append(s.Inputs(), s.Outputs()...) {
		t, err := tensor.New(spec.Name, spec.Type, spec.Shape...)
		if err != nil {
			return err
		}
		if i < len(s.Inputs()) {
			in = append(in, t)
		} else {
			out = append(out, t)
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	for loaded := false; lines.Scan(); loaded = true {
		if !loaded {
			all, err := os.ReadFile(input)
			if err != nil {
				return err
			}
			for i := range in {
				all = all[copy(in[i].Data, all):]
			}
		}
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		before := cpu()
		for range n {
			if err := s.Infer(ctx, in, out); err != nil {
				return err
			}
		}
		fmt.Println(float64((cpu() - before).Microseconds()) / 1e3 / float64(n))
	}
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, t := range out {
		if _, err := file.Write(t.Data); err != nil {
			return err
		}
	}
	return lines.Err()
}

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // the call has no way to fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
