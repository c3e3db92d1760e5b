package figures_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"primespark/agent/models/blazeface"
	"primespark/shared/load"
	"primespark/shared/oip"
	"primespark/shared/tensor"
	"primespark/shared/wire"
)

// BenchmarkAgainstNode is the agent against the server that one would write in an
// afternoon: Node's HTTP and ONNX Runtime (ort-server.mjs), each in a process of its
// own. Both get the same tensor in binary, run BlazeFace on one thread, and give all
// outputs in binary. The goals are more answers a second, and less time for 99 of 100.
// What is called ort is an agent that runs the same library as Node does, in its worker: so
// the engines are the same, and what differs is what stands around them.
func BenchmarkAgainstNode(b *testing.B) {
	bin := os.Getenv(binVariable)
	if bin == "" {
		b.Skipf("%s does not name the directory of the programs; make bench does", binVariable)
	}
	address, library := ortServer(b)
	ours := lonelyAgent(b, bin, "")
	same := lonelyAgent(b, bin, fmt.Sprintf("infer: {threads: 1, queue: 256, engines: [onnxruntime]}\nonnxruntime: {enabled: \"on\", library: %q, worker: %q}\n",
		library, filepath.Join(bin, "prime-spark-ort-worker")))
	floats := make([]float32, 128*128*3)
	for i := range floats {
		floats[i] = float32(i%2001)/1000 - 1
	}
	raw, err := binary.Append(nil, binary.LittleEndian, floats)
	if err != nil {
		b.Fatal(err)
	}
	meta, err := (&wire.Client{BaseURLs: []string{"http://" + ours}}).Model(b.Context(), blazeface.Name)
	if err != nil {
		b.Fatal(err)
	}
	request := &oip.Request{
		Params: oip.Params{oip.ParamBinaryOutput: true},
		Inputs: []oip.Input{{Tensor: tensor.FromFloat32s(meta.Inputs[0].Name, floats, meta.Inputs[0].Shape...)}},
	}
	body, err := request.Encode(func(string) bool { return true })
	if err != nil {
		b.Fatal(err)
	}
	header := http.Header{}
	body.SetHeaders(header)
	header.Set("Cache-Control", "no-store") // the same tensor each time
	agent := sender{url: "http://" + ours + oip.InferPath(blazeface.Name, ""), header: header, body: body.Bytes}
	ort := sender{url: "http://" + same + oip.InferPath(blazeface.Name, ""), header: header, body: body.Bytes}
	node := sender{url: "http://" + address, body: raw}
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			best := map[string]*load.Result{}
			for b.Loop() {
				for range 3 {
					p := load.Plan{Connections: clients, Duration: 2 * time.Second, Warmup: 200 * time.Millisecond}
					for name, s := range map[string]sender{"": agent, "ort-": ort, "node-": node} {
						if r := s.run(b, p); best[name] == nil || r.Throughput() > best[name].Throughput() {
							best[name] = r
						}
					}
				}
			}
			for name, r := range best {
				b.ReportMetric(r.Throughput(), name+"answers/s")
				b.ReportMetric(float64(r.Service.Quantile(.5).Microseconds())/1000, name+"p50-ms")
				b.ReportMetric(float64(r.Service.Quantile(.99).Microseconds())/1000, name+"p99-ms")
			}
		})
	}
}

// lonelyAgent runs an agent that belongs to no cluster, and returns its address on
// loopback once it has its model. More is what its file has besides, with the part infer;
// empty: the built-in engine.
func lonelyAgent(b *testing.B, bin, more string) string {
	l := listener(b)
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	file := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `name: bench
state_dir: %s
http: {loopback: %q, socket: ""}
hailo: {enabled: "off"}
%s`, strconv.Quote(filepath.Join(dir, "state")), address, cmp.Or(more, "infer: {threads: 1, queue: 256}\n")), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), filepath.Join(bin, "prime-spark-agent"), "run", "--config", file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs no word
		if err := cmd.Wait(); err != nil && b.Context().Err() == nil {
			b.Errorf("the agent: %v\n%s", err, &log)
		}
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		res, err := http.Get("http://" + address + oip.ModelPath(blazeface.Name, "") + "/ready")
		if err == nil {
			_ = res.Body.Close() // its status is all that is wanted
			if res.StatusCode == http.StatusOK {
				return address
			}
		}
		if time.Now().After(end) {
			b.Fatalf("the agent is not ready (%v)\n%s", err, &log)
		}
	}
}

// ortServer starts the other server and returns its address, and the library that it runs.
func ortServer(b *testing.B) (address, library string) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skipf("%s is missing, which runs the other server: apt install nodejs npm", program)
		}
	}
	dir := b.TempDir()
	cache := os.Getenv("BENCH_CACHE")
	if _, err := os.Stat(filepath.Join(cache, "node_modules", "onnxruntime-node")); cache == "" || err != nil {
		tell("installing onnxruntime-node (about 110 MB)")
		install := exec.CommandContext(b.Context(), "npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "onnxruntime-node")
		if out, err := install.CombinedOutput(); err != nil {
			b.Skipf("npm could not install onnxruntime-node: %v\n%s", err, out)
		}
	} else if err := os.Symlink(filepath.Join(cache, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		b.Fatal(err)
	}
	script, err := os.ReadFile("ort-server.mjs")
	if err != nil {
		b.Fatal(err)
	}
	const network = "blazeface-front-128.onnx"
	for name, data := range map[string][]byte{"server.mjs": script, network: blazeface.Files()[network]} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.CommandContext(b.Context(), "node", "server.mjs", network, "1", "128", "128", "3")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // the word for it to end
		if err := cmd.Wait(); err != nil && b.Context().Err() == nil {
			b.Errorf("the other server: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, bad := strconv.Atoi(strings.TrimSpace(line)); err != nil || bad != nil {
		b.Fatalf("the other server says %q, %v", line, err)
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	found, err := filepath.Glob(filepath.Join(dir, "node_modules", "onnxruntime-node", "bin", "napi-v*", "linux", cmp.Or(arch, runtime.GOARCH), "libonnxruntime.so.1*"))
	if err != nil || len(found) == 0 {
		b.Fatalf("there is no libonnxruntime in %s: %v", dir, err)
	}
	if library, err = filepath.EvalSymlinks(found[0]); err != nil {
		b.Fatal(err)
	}
	return "127.0.0.1:" + strings.TrimSpace(line), library
}
