package figures_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"primespark/agent/cache"
	"primespark/shared/load"
	"primespark/shared/oip"
)

// BenchmarkAgentOverhead is what the agent adds to decoding and to the engine, for one
// request of a 416² photo at a time. The goals are 0.3 ms at the median and 1 ms for
// 99 of 100.
//
// The agent is a process of its own, and neither the client nor it runs on the other's
// cores: what the client takes is no part of it. What decoding and
// the engine took is by the agent's word for the very same request (Server-Timing), so
// that their scatter is not counted. The figures are the medians of several rounds, and
// worst is the worst round. Cached is with the result cache as an agent has it by itself,
// each answer computed anew and kept. Floor is what a handler in the agent's process takes,
// in turns with it, that reads as many bytes and answers with as many: the share of HTTP, of
// the kernel and of the client. What the agent alone adds is the rest.
func BenchmarkAgentOverhead(b *testing.B) {
	photo := noisyPhoto(b)
	at := serveApart(b)
	kinds := []struct {
		name string
		line *load.Line
		p50s []time.Duration
		p99s []time.Duration
		took load.Histogram
	}{
		{name: "", line: dial(b, at.Agent, oip.InferPath("blank", ""), nil, photo)},
		{name: "cached-", line: dial(b, at.Cached, oip.InferPath("blank", ""), http.Header{"Cache-Control": {"no-cache"}}, photo)},
		{name: "floor-", line: dial(b, at.Floor, "/", nil, photo)},
	}
	photos := 0
	for b.Loop() {
		for range overheadRounds {
			for i := range kinds {
				kinds[i].took = load.Histogram{}
			}
			for end := time.Now().Add(overheadRound); time.Now().Before(end); photos++ {
				for i := range kinds {
					start := time.Now()
					header, _ := ask(b, kinds[i].line)
					kinds[i].took.Add(time.Since(start) - within(b, header, "decode", "infer"))
				}
			}
			for i := range kinds {
				k := &kinds[i]
				k.p50s, k.p99s = append(k.p50s, k.took.Quantile(.5)), append(k.p99s, k.took.Quantile(.99))
			}
		}
	}
	for _, k := range kinds {
		slices.Sort(k.p50s)
		slices.Sort(k.p99s)
		report := func(name string, d time.Duration) {
			b.ReportMetric(float64(d.Microseconds())/1000, k.name+name)
		}
		report("p50-ms", k.p50s[len(k.p50s)/2])
		report("p99-ms", k.p99s[len(k.p99s)/2])
		report("p99-worst-ms", k.p99s[len(k.p99s)-1])
	}
	b.ReportMetric(float64(photos), "photos")
}

// How often and for how long BenchmarkAgentOverhead measures. A round has several hundred
// photos, so that what 99 of 100 take is no single one of them.
const (
	overheadRounds = 7
	overheadRound  = 3 * time.Second
)

// noisyPhoto is a JPEG of 416², of 84 KB.
func noisyPhoto(b *testing.B) []byte {
	img := image.NewYCbCr(image.Rect(0, 0, 416, 416), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(i * 7)
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, img, nil); err != nil {
		b.Fatal(err)
	}
	return photo.Bytes()
}

// within sums up parts of an answer's Server-Timing.
func within(b *testing.B, h http.Header, parts ...string) (sum time.Duration) {
	for part := range strings.SplitSeq(h.Get("Server-Timing"), ", ") {
		if name, ms, _ := strings.Cut(part, ";dur="); slices.Contains(parts, name) {
			v, err := strconv.ParseFloat(ms, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(v * float64(time.Millisecond))
		}
	}
	return sum
}

// addresses are where a process of its own serves for BenchmarkAgentOverhead.
type addresses struct {
	Agent  string // an agent without a result cache
	Cached string // one with it
	Floor  string // a handler that does nothing
}

// apart has the environment of such a process. Any value will do.
const apart = "PRIME_SPARK_FIGURES_APART"

// BenchmarkApart serves in a process of its own until its standard input ends. It is what
// serveApart starts, and measures nothing.
func BenchmarkApart(b *testing.B) {
	if os.Getenv(apart) == "" {
		b.Skip("other benchmarks start it")
	}
	file := filepath.Join(b.TempDir(), "results.db")
	results, err := cache.New(cache.Config{
		Path: file, Memory: 8 << 20, Disk: 64 << 20, Daily: 64 << 20, Age: 24 * time.Hour, // as an agent by itself
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	runs(b, results.Run)
	at, err := json.Marshal(addresses{newNode(b, nil).agent, newNode(b, results).agent, floor(b)})
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", apart, at)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		b.Error(err)
	}
}

// serveApart starts a process that serves until the benchmark ends, on all cores but the
// last one, which is this goroutine's. Where there is one core only, they share it.
func serveApart(b *testing.B) (at addresses) {
	runtime.LockOSThread() // never unlocked: its thread ends with the goroutine
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		b.Fatal(err)
	}
	theirs, ours := all, all
	if all.Count() > 1 {
		ours.Zero()
		last := 0
		for i := range len(all) * 64 {
			if all.IsSet(i) {
				last = i
			}
		}
		ours.Set(last)
		theirs.Clear(last)
	}
	if err := unix.SchedSetaffinity(0, &theirs); err != nil { // the process inherits it
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "^BenchmarkApart$", "-test.benchtime", "1x")
	cmd.Env = append(os.Environ(), apart+"=1")
	cmd.Stderr = os.Stderr
	end, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = end.Close() // by which it ends
		if err := cmd.Wait(); err != nil {
			b.Errorf("the process apart: %v", err)
		}
	})
	if err := unix.SchedSetaffinity(0, &ours); err != nil {
		b.Fatal(err)
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), apart); ok {
			if err := json.Unmarshal([]byte(text), &at); err != nil {
				b.Fatal(err)
			}
			return at
		}
	}
	b.Fatal("the process apart told no address")
	return at
}

// floor is the address of a handler that reads what is sent and answers with as much as
// the agent does.
func floor(b *testing.B) string {
	l := listener(b)
	buf := make([]byte, 1<<20) // one request at a time
	answer := bytes.Repeat([]byte{' '}, 160)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := r.Body.Read(buf); err != nil {
				break
			}
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer) // the client sees what is missing
	})}
	runs(b, func(ctx context.Context) error {
		context.AfterFunc(ctx, func() { _ = s.Close() })
		_ = s.Serve(l) // it ends with Close
		return nil
	})
	return l.Addr().String()
}

// dial returns a line for a photo.
func dial(b *testing.B, addr, path string, header http.Header, photo []byte) *load.Line {
	all := http.Header{oip.HeaderLength: {"0"}}
	maps.Copy(all, header)
	l, err := load.Dial(b.Context(), addr, http.MethodPost, path, all, photo)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() }) // of a connection that is done with
	return l
}

// ask sends the request of a line and returns the answer.
func ask(b *testing.B, l *load.Line) (http.Header, []byte) {
	header, answer, err := l.Ask()
	if err != nil {
		b.Fatal(err)
	}
	return header, answer
}
