package gauge_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"primespark/agent/battery"
	"primespark/agent/battery/gauge"
)

// served returns a reader whose server answers each request with the text for it.
func served(t *testing.T, ups string, answers map[string]string) battery.Reader {
	t.Helper()
	r, err := gauge.New(gauge.Config{Source: "nut", NUT: "127.0.0.1:3493", UPS: ups, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() { // ends with the connection
			defer there.Close()
			b := make([]byte, 256)
			for {
				n, err := there.Read(b)
				if err != nil {
					return
				}
				if _, err := there.Write([]byte(answers[string(b[:n])])); err != nil {
					return
				}
			}
		}()
		return here, nil
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// vars is the answer to LIST VAR of a UPS named desk.
func vars(lines ...string) map[string]string {
	var text strings.Builder
	text.WriteString("BEGIN LIST VAR desk\n")
	for _, l := range lines {
		text.WriteString("VAR desk " + l + "\n")
	}
	return map[string]string{
		"LIST UPS\n":      "BEGIN LIST UPS\nUPS desk \"below \\\"the\\\" desk\"\nEND LIST UPS\n",
		"LIST VAR desk\n": text.String() + "END LIST VAR desk\n",
	}
}

func TestNUT(t *testing.T) {
	on, off := battery.Known(true), battery.Known(false)
	for name, c := range map[string]struct {
		lines []string
		want  battery.Reading
	}{
		"on line": {
			[]string{`ups.status "OL CHRG"`, `battery.charge "98.5"`, `battery.runtime "3000"`, `battery.voltage "27.1"`},
			battery.Reading{Mains: on, Charge: charge(0.985)},
		},
		"on battery": {
			[]string{`ups.status "OB DISCHRG"`, `battery.charge "62"`, `battery.runtime "1800"`, `battery.temperature "28.5"`, `ups.realpower "23"`},
			battery.Reading{Mains: off, Charge: charge(0.62), Minutes: battery.Known(30.0), Celsius: battery.Known(28.5), Load: 23},
		},
		"nearly empty":   {[]string{`ups.status "OB LB"`}, battery.Reading{Mains: off, Shutdown: true}},
		"low on mains":   {[]string{`ups.status "OL LB"`}, battery.Reading{Mains: on}},
		"forced down":    {[]string{`ups.status "FSD OL"`}, battery.Reading{Mains: on, Shutdown: true}},
		"both and alarm": {[]string{`ups.status "ALARM OL OB"`}, battery.Reading{}},
		"no number":      {[]string{`ups.status "OL"`, `battery.charge "NaN"`}, battery.Reading{Mains: on}},
	} {
		got, err := served(t, "", vars(c.lines...)).Read(t.Context())
		if err != nil || !same(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func TestNUTThatDoesNotKnow(t *testing.T) {
	for name, c := range map[string]struct {
		ups     string
		answers map[string]string
		says    string
	}{
		"off":         {"", vars(`ups.status "OFF"`), "neither OL nor OB"},
		"no status":   {"", vars(`battery.charge "50"`), "neither OL nor OB"},
		"overfull":    {"", vars(`ups.status "OL"`, `battery.charge "256"`), "implausible"},
		"stale":       {"desk", map[string]string{"LIST VAR desk\n": "ERR DATA-STALE\n"}, "has lost the UPS"},
		"unknown":     {"x", map[string]string{"LIST VAR x\n": "ERR UNKNOWN-UPS\n"}, "upsc -l"},
		"denied":      {"x", map[string]string{"LIST VAR x\n": "ERR ACCESS-DENIED\n"}, "upsd.conf"},
		"two":         {"", map[string]string{"LIST UPS\n": "BEGIN LIST UPS\nUPS a \"\"\nUPS b \"\"\nEND LIST UPS\n"}, `battery.nut.ups to one of ["a" "b"]`},
		"no NUT":      {"x", map[string]string{"LIST VAR x\n": "HTTP/1.1 400 Bad Request\n"}, "HTTP"},
		"another UPS": {"x", map[string]string{"LIST VAR x\n": "BEGIN LIST VAR x\nVAR y ups.status \"OL\"\n"}, "VAR y"},
		"no value":    {"x", map[string]string{"LIST VAR x\n": "BEGIN LIST VAR x\nVAR x ups.status\n"}, "ups.status"},
		"endless":     {"x", map[string]string{"LIST VAR x\n": "BEGIN LIST VAR x\n" + strings.Repeat("VAR x a \"1\"\n", 2000)}, "more than"},
		"a long line": {"x", map[string]string{"LIST VAR x\n": strings.Repeat("x", 5000)}, "LIST VAR x"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		got, err := served(t, c.ups, c.answers).Read(ctx)
		if err == nil || !strings.Contains(err.Error(), c.says) || got != (battery.Reading{}) {
			t.Errorf("%s: %+v, %v; want a word on %q", name, got, err, c.says)
		}
		cancel()
	}
}

// TestNUTServer reads Debian's nut-server, with a UPS that a file plays.
func TestNUTServer(t *testing.T) {
	for _, program := range []string{"/lib/nut/upsd", "/lib/nut/dummy-ups"} {
		if _, err := os.Stat(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip("NUT is not installed; apt install nut-server")
		}
	}
	dir, err := os.MkdirTemp("", "nut") // a short name: it holds a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write("ups.conf", "[desk]\ndriver = dummy-ups\nport = desk.dev\n")
	write("upsd.conf", "LISTEN 127.0.0.1 "+strconv.Itoa(port)+"\n")
	write("upsd.users", "")
	write("desk.dev", "ups.status: OB DISCHRG\nbattery.charge: 62\nbattery.runtime: 1800\nups.realpower: 23\n")
	kill := start(t, dir, "/lib/nut/dummy-ups", "-a", "desk", "-D")
	start(t, dir, "/lib/nut/upsd", "-D")

	r, err := gauge.New(gauge.Config{Source: "nut", NUT: address}, nil)
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, ok func(battery.Reading, error) bool) {
		t.Helper()
		var got battery.Reading
		var err error
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			got, err = r.Read(ctx)
			cancel()
			if ok(got, err) {
				return
			}
		}
		t.Fatalf("%s: %+v, %v", what, got, err)
	}
	want := battery.Reading{Mains: battery.Known(false), Charge: charge(0.62), Minutes: battery.Known(30.0), Load: 23}
	until("on battery", func(got battery.Reading, err error) bool { return err == nil && same(got, want) })
	write("desk.dev", "ups.status: OL CHRG\nbattery.charge: 63\n")
	until("the mains are back", func(got battery.Reading, err error) bool {
		return err == nil && got.Mains.Is(true) && got.Charge.Value == 0.63
	})
	write("desk.dev", "ups.status: FSD OB LB\nbattery.charge: 4\n")
	until("forced down", func(got battery.Reading, err error) bool { return err == nil && got.Shutdown })
	kill()
	until("the driver is gone", func(got battery.Reading, err error) bool { return err != nil && got == battery.Reading{} })
}

// start runs a program of NUT until the test ends, or kill is called.
func start(t *testing.T, dir, program string, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(program, args...)
	if os.Geteuid() == 0 {
		cmd.Args = append(cmd.Args, "-u", "root")
	}
	cmd.Env = append(os.Environ(), "NUT_CONFPATH="+dir, "NUT_STATEPATH="+dir, "NUT_ALTPIDPATH="+dir, "NUT_PIDPATH="+dir)
	cmd.Dir = dir
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	kill = func() {
		if ended {
			return
		}
		ended = true
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("%s says:\n%s", program, &log)
		}
	})
	return kill
}
