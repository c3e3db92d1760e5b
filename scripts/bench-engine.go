//go:build ignore

// Command bench-engine is the builtin engine's side of bench-engine.sh. It loads a
// model, says what it is in one line of JSON, reads the input from a file, and then for
// each number on its standard input runs so many inferences and prints the CPU
// milliseconds that one took. The outputs of the last one go to a file.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"primespark/agent/infer/builtin"
	"primespark/shared/tensor"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: bench-engine MODEL INPUT OUTPUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-engine:", err)
		os.Exit(1)
	}
}

func run(model, input, output string) error {
	ctx := context.Background()
	data, err := os.ReadFile(model)
	if err != nil {
		return err
	}
	s, err := builtin.Backend{Threads: 1}.LoadBytes(ctx, data)
	if err != nil {
		return err
	}
	defer s.Close()
	stats := s.Stats()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"shape": s.Inputs()[0].Shape, "macs": stats.MACs, "kernels": stats.Kernels.String(), "arena": stats.Arena,
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
			if in[0].Data, err = os.ReadFile(input); err != nil {
				return err
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
