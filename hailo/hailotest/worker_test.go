package hailotest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"primespark/hailo/hailotest"
	"primespark/hailo/hef/synth"
	"primespark/shared/rig"
	"primespark/shared/worker/frame"
	"primespark/shared/worker/nativetest"
)

// versions are those of Raspberry Pi OS, and the last of each layout.
var versions = map[string]string{"4.17.0": "4.17", "4.19.0": "4.17", "4.20.0": "4.20", "4.23.0": "4.20"}

// The worker against each layout of libhailort, on both processors: what comes
// back is what was in the pixels.
func TestMatrix(t *testing.T) {
	kits := map[string]func(testing.TB) hailotest.Kit{"native": hailotest.Native, "arm64": hailotest.ARM64}
	for arch, kit := range kits {
		for version, layout := range versions {
			t.Run(arch+" "+version, func(t *testing.T) {
				t.Parallel()
				p := kit(t).Start(t, "HAILORT_DOUBLE_VERSION="+version)
				h, err := p.Hello(t.Context())
				if err != nil || h.Library != version || h.Layout != layout || h.Fault != frame.OK || h.Worker != "hailo-c" {
					t.Fatalf("%+v, %v", h, err)
				}
				var all sync.WaitGroup
				for name, m := range models() { // all in one worker, at the same time
					s := load(t, p, m)
					all.Go(func() {
						s.work(t, 16)
						if t.Failed() {
							t.Log("of " + name)
						}
					})
				}
				all.Wait()
				var ping frame.PingReply
				if err := p.Ask(t.Context(), frame.Ping, &ping); err != nil || ping.Frames != 80 || ping.InFlight != 0 || ping.Models != 5 || ping.RSS == 0 {
					t.Errorf("%+v, %v, want 80 frames of 5 models", ping, err)
				}
				if err := p.Ask(t.Context(), frame.Bye, nil); err != nil {
					t.Error(err)
				}
				if err := p.Wait(); err != nil {
					t.Errorf("the worker ended with %v", err)
				}
			})
		}
	}
}

func TestDeviceAndSense(t *testing.T) {
	p := hailotest.Native(t).Start(t, "HAILORT_DOUBLE_ARCH=2", "HAILORT_DOUBLE_POWER=2.5", "HAILORT_DOUBLE_TEMP=61")
	var d frame.DeviceReply
	if err := p.Ask(t.Context(), frame.Device, &d); err != nil || d.Devices != 1 || d.Arch != 2 || d.Firmware != "4.23.0" ||
		d.ID != "0001:01:00.0" || d.Board != "Hailo-8 (simulated)" || d.Serial != "HLDDOUBLE000001" || d.Part != "HM218B1C2FA" {
		t.Errorf("%+v, %v", d, err)
	}
	var s frame.SenseReply
	if err := p.Ask(t.Context(), frame.Sense, &s); err != nil || len(s.TemperatureC) != 2 || s.TemperatureC[0] != 61 || s.PowerW == nil ||
		*s.PowerW != 2.5 || s.Protection == nil || !*s.Protection {
		t.Errorf("%+v, %v", s, err)
	}
}

// A board that measures nothing says why, and one that is not there says so.
func TestNoMeterAndNoDevice(t *testing.T) {
	p := hailotest.Native(t).Start(t, "HAILORT_DOUBLE_FAULT=hailo_get_chip_temperature=36")
	var s frame.SenseReply
	if err := p.Ask(t.Context(), frame.Sense, &s); err != nil || s.TemperatureC != nil || s.TemperatureStatus != 36 || s.PowerW != nil || s.PowerStatus != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	p = hailotest.Native(t).Start(t, "HAILORT_DOUBLE_DEVICES=0")
	var d frame.DeviceReply
	if err := p.Ask(t.Context(), frame.Device, &d); err != nil || d.Devices != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if got := status(p.Ask(t.Context(), frame.Sense, &s)); got != frame.NoDevice {
		t.Errorf("sense: %v", got)
	}
}

func status(err error) frame.Status {
	if f, ok := errors.AsType[*frame.Failure](err); ok {
		return f.Status
	}
	return 12345
}

// tryLoad loads a small model and returns the error.
func tryLoad(t *testing.T, p *hailotest.Process, change func(*frame.LoadRequest)) error {
	t.Helper()
	m := synth.Tensors("one", 64, 1, 100)
	r := request(m.Group)
	if change != nil {
		change(&r)
	}
	_, _, err := p.Load(t.Context(), r, hailotest.File(t, m.Bytes()))
	return err
}

// What the library answers arrives as its number, with the call that failed.
func TestLibraryFaults(t *testing.T) {
	t.Parallel()
	calls := strings.Fields(`hailo_init_vdevice_params hailo_create_vdevice hailo_create_hef_buffer hailo_hef_get_all_vstream_infos hailo_configure_vdevice
		hailo_make_input_vstream_params hailo_make_output_vstream_params hailo_create_input_vstreams hailo_create_output_vstreams
		hailo_get_input_vstream_info hailo_get_output_vstream_info hailo_get_input_vstream_frame_size hailo_get_output_vstream_frame_size
		hailo_set_scheduler_timeout hailo_set_scheduler_threshold hailo_set_scheduler_priority`)
	for i, call := range calls {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			want := frame.Status(2 + i*5) // every number is passed on as it is
			p := hailotest.Native(t).Start(t, fmt.Sprintf("HAILORT_DOUBLE_FAULT=%s=%d", call, want))
			err := tryLoad(t, p, func(r *frame.LoadRequest) {
				r.SchedulerTimeout, r.SchedulerThreshold, r.SchedulerPriority = time.Second, 2, 3
			})
			f, ok := errors.AsType[*frame.Failure](err)
			if !ok || f.Status != want || f.Call != call || f.Text == "" {
				t.Errorf("%v, want %v of %s", err, want, call)
			}
			if err := p.Ask(t.Context(), frame.Ping, nil); err != nil {
				t.Errorf("and afterwards %v", err)
			}
		})
	}
	for _, call := range []string{"hailo_scan_devices", "hailo_create_device_by_id", "hailo_identify"} {
		p := hailotest.Native(t).Start(t, "HAILORT_DOUBLE_FAULT="+call+"=64")
		if err := p.Ask(t.Context(), frame.Device, nil); status(err) != 64 || !strings.Contains(err.Error(), call) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestInferFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault string
		want  frame.Status
	}{
		"timeout in a write": {"hailo_vstream_write_raw_buffer=4@2", 4},
		"device lost":        {"hailo_vstream_read_raw_buffer=36@2", 36},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := load(t, hailotest.Native(t).Start(t, "HAILORT_DOUBLE_FAULT="+test.fault), synth.Tensors("one", 64, 1, 100))
			s.work(t, 2)
			in, out := s.plan.Slot(0)
			if _, err := s.Infer(t.Context(), s.model, in, out); status(err) != test.want {
				t.Errorf("%v, want %v", err, test.want)
			}
			if _, err := s.Infer(t.Context(), s.model, in, out); status(err) != frame.Broken {
				t.Errorf("then %v, want Broken", err)
			}
		})
	}
}

// A worker that dies takes nobody along: all who wait hear that it is gone.
func TestCrashes(t *testing.T) {
	for what, signal := range map[string]syscall.Signal{"abort": syscall.SIGABRT, "segv": syscall.SIGSEGV} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := load(t, hailotest.Native(t).Start(t, "HAILORT_DOUBLE_FAULT=hailo_vstream_read_raw_buffer="+what+"@1"), synth.Tensors("one", 64, 1, 100))
			s.work(t, 1)
			in, out := s.plan.Slot(0)
			if _, err := s.Infer(t.Context(), s.model, in, out); !errors.Is(err, frame.ErrGone) {
				t.Errorf("%v, want ErrGone", err)
			}
			exit, ok := errors.AsType[*exec.ExitError](s.Wait())
			if !ok || exit.Sys().(syscall.WaitStatus).Signal() != signal {
				t.Errorf("ended with %v, want %v", exit, signal)
			}
		})
	}
}

// A chip that hangs leaves the worker answering, and the time is the agent's.
func TestHang(t *testing.T) {
	t.Parallel()
	s := load(t, hailotest.Native(t).Start(t, "HAILORT_DOUBLE_FAULT=hailo_vstream_read_raw_buffer=hang,hailo_get_chip_temperature=hang"), synth.Tensors("one", 64, 1, 100))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	in, out := s.plan.Slot(0)
	if _, err := s.Infer(ctx, s.model, in, out); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	if err := s.Ask(ctx, frame.Sense, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	var ping frame.PingReply
	if err := s.Ask(t.Context(), frame.Ping, &ping); err != nil || ping.InFlight != 1 {
		t.Errorf("%+v, %v, want one under way", ping, err)
	}
}

// At most depth inferences at a time; the next is refused, and nothing is lost.
func TestFull(t *testing.T) {
	s := load(t, hailotest.Native(t).Start(t, "HAILORT_DOUBLE_FAULT=hailo_vstream_read_raw_buffer=hang"), synth.Tensors("one", 64, 1, 100))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	full := make(chan error, depth+1)
	in, out := s.plan.Slot(0)
	for range depth + 1 {
		all.Go(func() { _, err := s.Infer(ctx, s.model, in, out); full <- err })
	}
	if err := <-full; status(err) != frame.Full {
		t.Errorf("%v, want Full", err)
	}
	cancel()
	all.Wait()
}

// The versions that the table does not have.
func TestUnknownVersions(t *testing.T) {
	noFacts := func(r *frame.LoadRequest) { r.Facts = nil }
	for name, test := range map[string]struct {
		version, layout string
		change          func(*frame.LoadRequest)
		want            frame.Status
		says            string
	}{
		"newer, and the layout stayed": {"4.24.0", "new", nil, frame.OK, "4.20?"},
		"newer, and it did not":        {"4.24.0", "other", nil, frame.Layout, "4.20?"},
		"newer, and nothing to check":  {"4.24.0", "new", noFacts, frame.Unknown, "4.20?"},
		"known, and lies":              {"4.23.0", "old", nil, frame.Layout, "4.20"},
		"too old":                      {"4.16.0", "old", nil, frame.Unknown, ""},
		"of the Hailo-10H":             {"5.2.0", "new", nil, frame.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := hailotest.Native(t).Start(t, "HAILORT_DOUBLE_VERSION="+test.version, "HAILORT_DOUBLE_LAYOUT="+test.layout)
			h, err := p.Hello(t.Context())
			if err != nil || h.Layout != test.says || h.Library != test.version {
				t.Errorf("%+v, %v", h, err)
			}
			if err := tryLoad(t, p, test.change); err != nil && status(err) != test.want || (err == nil) != (test.want == frame.OK) {
				t.Errorf("%v, want %v", err, test.want)
			}
			var d frame.DeviceReply
			if err := p.Ask(t.Context(), frame.Device, &d); err != nil || d.Devices != 1 {
				t.Errorf("the device is seen with any version: %+v, %v", d, err)
			}
		})
	}
}

// What the library says of a model is held against its file.
func TestLayoutIsChecked(t *testing.T) {
	p := hailotest.Native(t).Start(t)
	for want, change := range map[string]func(*frame.Fact){
		"is 64x64x4 in the file": func(f *frame.Fact) { f.Shape[2] = 4 },
		"has scale 2":            func(f *frame.Fact) { f.Scale = 2 },
		"zero 7 in the file":     func(f *frame.Fact) { f.Zero = 7 },
		"does not know":          func(f *frame.Fact) { f.Name = "one/other" },
		"library does not":       func(f *frame.Fact) { f.Output = true },
		"in the file and 64x64":  func(f *frame.Fact) { f.NMS = true },
	} {
		err := tryLoad(t, p, func(r *frame.LoadRequest) { change(&r.Facts[0]) })
		if status(err) != frame.Layout || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want Layout with %q", err, want)
		}
	}
	if err := tryLoad(t, p, func(r *frame.LoadRequest) { r.Facts[0].Scale, r.Facts[0].Unquantizable = 2, true }); err != nil {
		t.Errorf("a scale that is not to be compared: %v", err)
	}
}

func TestLibraryMissing(t *testing.T) {
	kit := hailotest.Native(t)
	for name, test := range map[string]struct{ library, why string }{
		"no file":     {"/nonexistent/libhailort.so", "No such file"},
		"no library":  {"/etc/passwd", "passwd"},
		"no identify": {hailotest.Double(t, "-DDOUBLE_LACKS_IDENTIFY"), "lacks hailo_identify"},
	} {
		t.Run(name, func(t *testing.T) {
			p := hailotest.Start(t, nil, kit.Worker, "--library", test.library)
			h, err := p.Hello(t.Context())
			if err != nil || h.Fault != frame.NoLibrary || !strings.Contains(h.Why, test.why) {
				t.Errorf("%+v, %v", h, err)
			}
			if err := tryLoad(t, p, nil); status(err) != frame.NoLibrary {
				t.Errorf("load: %v", err)
			}
			if err := p.Ask(t.Context(), frame.Device, nil); status(err) != frame.NoLibrary {
				t.Errorf("device: %v", err)
			}
		})
	}
}

// With --shared the accelerator is asked for through hailort.service.
func TestShared(t *testing.T) {
	kit := hailotest.Native(t)
	p := kit.StartWith(t, nil, "--shared")
	load(t, p, synth.Tensors("one", 64, 1, 100)).work(t, 8)
	down := []string{"HAILORT_DOUBLE_SERVICE=down"}
	if err := tryLoad(t, kit.StartWith(t, down, "--shared"), nil); status(err) != 77 {
		t.Errorf("%v, want 77", err)
	}
	if err := tryLoad(t, kit.StartWith(t, down), nil); err != nil {
		t.Errorf("without --shared nobody asks the service, and got %v", err)
	}
}

// The driver gives up at any signal, so none may get into the library.
func TestSignalsAreInvisible(t *testing.T) {
	t.Parallel()
	s := load(t, hailotest.Native(t).Start(t, "HAILORT_DOUBLE_LATENCY=5"), synth.Tensors("one", 64, 1, 100))
	done := make(chan struct{})
	var storm sync.WaitGroup
	storm.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			signals := []syscall.Signal{syscall.SIGURG, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGALRM, syscall.SIGPIPE, syscall.SIGHUP}
			if err := s.Cmd.Process.Signal(signals[i%len(signals)]); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	})
	s.work(t, 40)
	close(done)
	storm.Wait()
}

// The worker ends when the agent is gone: with the thread that began it, even if
// somebody still holds the socket, and with the socket.
func TestEndsWithTheAgent(t *testing.T) {
	kit := hailotest.Native(t)
	for what, test := range map[string]struct {
		leave func(conn *frame.Conn, theirs *os.File, thread chan struct{}) error
		want  string
	}{
		"thread": {func(_ *frame.Conn, _ *os.File, thread chan struct{}) error { close(thread); return nil }, "signal: killed"},
		"socket": {func(c *frame.Conn, f *os.File, _ chan struct{}) error { return errors.Join(f.Close(), c.Close()) }, "<nil>"},
	} {
		t.Run(what, func(t *testing.T) {
			conn, theirs, err := frame.Pair()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(kit.Worker, "--library", kit.Library)
			cmd.ExtraFiles = []*os.File{theirs}
			started, thread := make(chan error), make(chan struct{})
			go rig.OnThread(func() { // at the latest the end of the test closes thread
				started <- cmd.Start()
				<-thread
			})
			if err := <-started; err != nil {
				t.Fatal(err)
			}
			// Once it has answered it has also said with whom it wants to end.
			hello := frame.Message{Header: frame.Header{Type: frame.Hello}}
			if err := conn.Send(hello, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Receive(); err != nil {
				t.Fatal(err)
			}
			if err := test.leave(conn, theirs, thread); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(cmd.Wait()); got != test.want {
				t.Errorf("the worker ended with %s, want %s", got, test.want)
			}
			if what == "socket" {
				close(thread)
			} else if err := errors.Join(conn.Close(), theirs.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCalledByHand(t *testing.T) {
	kit := hailotest.Native(t)
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "descriptor 3 is not the agent's socket"},
		{"--help", 0, "usage: prime-spark-hailo-worker"},
		{"--libary x", 2, "usage:"},
		{"--library", 2, "usage:"},
	} {
		cmd := exec.Command(kit.Worker, strings.Fields(test.args)...)
		out, _ := cmd.CombinedOutput() // how it ended is asked below
		if cmd.ProcessState.ExitCode() != test.code || !strings.Contains(string(out), test.says) {
			t.Errorf("%q: %d, %s", test.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

func TestSize(t *testing.T) {
	for name, kit := range map[string]hailotest.Kit{"native": hailotest.Native(t), "arm64": hailotest.ARM64(t)} {
		info, err := os.Stat(kit.Worker)
		if err != nil || info.Size() > 100<<10 {
			t.Errorf("%s: %d bytes, %v, want at most 100 KiB", name, info.Size(), err)
		}
		t.Logf("%s: %d bytes", name, info.Size())
	}
}

// What gcc's analyzer finds in the sources is a fault.
func TestAnalyzer(t *testing.T) { nativetest.Analyze(t, "hailo/worker") }
