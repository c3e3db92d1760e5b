package hostmetrics_test

import (
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"primespark/shared/hostmetrics"
)

// tree writes the files of a fake /proc and /sys.
func tree(t *testing.T, files map[string]string) hostmetrics.Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return hostmetrics.Config{Proc: filepath.Join(dir, "proc"), Sys: filepath.Join(dir, "sys")}
}

// scrape returns the text that Prometheus would get.
func scrape(t *testing.T, c hostmetrics.Config) string {
	t.Helper()
	collector, err := hostmetrics.New(c)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry() // refuses what Describe did not tell, and doubles
	reg.MustRegister(collector)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

var pi = map[string]string{
	"proc/stat": "cpu  100 0 50 800 10 0 5 0 0 0\ncpu0 60 0 30 400 5 0 5 0 0 0\ncpu1 40 0 20 400 5 0 0 0 0 0\nbtime 1795392000\n",
	// processor time is in hundredths of a second
	"proc/loadavg": "0.50 0.25 0.10 1/200 1234\n",
	"proc/meminfo": "MemTotal: 8000 kB\nMemFree: 1000 kB\nMemAvailable: 6000 kB\nCached: 3000 kB\nSwapTotal: 200 kB\nSwapFree: 100 kB\n",
	"proc/diskstats": " 179 0 mmcblk0 10 0 2000 30 20 0 4000 500 0 250 530 0 0 0 0 0 0\n" +
		" 179 1 mmcblk0p1 1 0 8 1 1 0 8 1 0 1 1 0 0 0 0 0 0\n 7 0 loop0 1 0 8 1 1 0 8 1 0 1 1 0 0 0 0 0 0\n",
	"proc/net/dev": "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
		"    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0: 1000 10 1 2 0 0 0 0 500 5 3 4 0 0 0 0\n",
	"proc/self/mounts":                                     "proc /proc proc rw 0 0\nnas:/x /mnt/nas nfs rw 0 0\n/dev/mmcblk0p2 / ext4 rw 0 0\n/dev/mmcblk0p2 /again ext4 rw 0 0\n",
	"sys/block/mmcblk0/size":                               "1\n",
	"sys/block/loop0/size":                                 "1\n",
	"sys/class/thermal/thermal_zone0/type":                 "cpu-thermal\n",
	"sys/class/thermal/thermal_zone0/temp":                 "51250\n",
	"sys/class/hwmon/hwmon0/name":                          "cpu_thermal\n",
	"sys/class/hwmon/hwmon0/temp1_input":                   "51250\n",
	"sys/class/hwmon/hwmon1/name":                          "rp1_adc\n",
	"sys/class/hwmon/hwmon1/temp1_input":                   "45000\n",
	"sys/class/hwmon/hwmon2/name":                          "asleep\n",
	"sys/class/hwmon/hwmon2/temp1_input":                   "0\n",
	"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
	"sys/devices/platform/soc/soc:firmware/get_throttled":  "50001\n",
	"sys/firmware/devicetree/base/model":                   "Raspberry Pi 5 Model B Rev 1.0\x00",
}

func TestPi(t *testing.T) {
	got := scrape(t, tree(t, pi))
	for _, want := range []string{
		`primespark_host_cpu_seconds_total{cpu="1",mode="user"} 0.4`,
		`primespark_host_cpu_frequency_hertz{cpu="0"} 2.4e+09`,
		`primespark_host_boot_time_seconds 1.795392e+09`,
		`primespark_host_load5 0.25`,
		`primespark_host_memory_available_bytes 6.144e+06`,
		`primespark_host_swap_free_bytes 102400`,
		`primespark_host_disk_written_bytes_total{device="mmcblk0"} 2.048e+06`,
		`primespark_host_disk_io_seconds_total{device="mmcblk0"} 0.25`,
		`primespark_host_network_receive_bytes_total{device="eth0"} 1000`,
		`primespark_host_network_transmit_drops_total{device="eth0"} 4`,
		`primespark_host_temperature_celsius{sensor="cpu-thermal"} 51.25`,
		`primespark_host_temperature_celsius{sensor="rp1_adc"} 45`,
		`primespark_host_throttled{reason="under_voltage"} 1`,
		`primespark_host_throttled{reason="throttled"} 0`,
		`primespark_host_throttled_since_boot{reason="throttled"} 1`,
		`primespark_host_throttled_since_boot{reason="frequency_capped"} 0`,
		`primespark_host_filesystem_readonly{device="/dev/mmcblk0p2",fstype="ext4",mountpoint="/"} 0`,
		`model="Raspberry Pi 5 Model B Rev 1.0"`,
		`primespark_host_readable{part="cpu"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, not := range []string{"mmcblk0p1", "loop0", `device="lo"`, "nas", "/again", "asleep", `sensor="cpu_thermal"`, "} NaN", `_readable{part="filesystem"} 0`} {
		if strings.Contains(got, not) {
			t.Errorf("%s is there", not)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestDamaged: what cannot be read is told, and keeps nothing else away.
func TestDamaged(t *testing.T) {
	files := map[string]string{}
	maps.Copy(files, pi)
	files["proc/meminfo"] = "MemTotal: many\n"
	files["sys/devices/platform/soc/soc:firmware/get_throttled"] = "what\n"
	delete(files, "proc/net/dev")
	got := scrape(t, tree(t, files))
	for _, want := range []string{`readable{part="memory"} 0`, `readable{part="throttle"} 0`, `readable{part="network"} 0`, `readable{part="cpu"} 1`, "primespark_host_load1 0.5"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

// TestThisHost reads the real files.
func TestThisHost(t *testing.T) {
	got := scrape(t, hostmetrics.Config{})
	for _, want := range []string{"primespark_host_cpu_seconds_total{", "primespark_host_memory_total_bytes ", "primespark_host_time_seconds ", "primespark_host_info{"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

func TestNoProc(t *testing.T) {
	if _, err := hostmetrics.New(hostmetrics.Config{Proc: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a host without /proc is taken")
	}
}
