package hostmetrics_test

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"primespark/shared/hostmetrics"
	"primespark/shared/hostmetrics/hostmetricstest"
)

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

func TestPi(t *testing.T) {
	got := scrape(t, hostmetricstest.Write(t, hostmetricstest.Pi()))
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
		`primespark_host_under_voltage 1`,
		`primespark_host_supply_volts 4.95`,
		`primespark_host_board_watts 2.8781`,
		`primespark_host_fan_rpm{sensor="pwmfan"} 3012`,
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
	files := hostmetricstest.Pi()
	files["proc/meminfo"] = "MemTotal: many\n"
	files["dev/vcio/get_throttled"] = "what\n"
	files["dev/vcio/pmic_read_adc"] = "much\n"
	delete(files, "proc/net/dev")
	got := scrape(t, hostmetricstest.Write(t, files))
	for _, want := range []string{`readable{part="memory"} 0`, `readable{part="throttle"} 0`, `readable{part="supply"} 0`, `readable{part="fan"} 1`, `readable{part="network"} 0`, `readable{part="cpu"} 1`, "primespark_host_load1 0.5"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

// TestOlderPi: a kernel that shows the firmware's word spares asking for it.
func TestOlderPi(t *testing.T) {
	files := hostmetricstest.Pi()
	delete(files, "dev/vcio/get_throttled")
	delete(files, "dev/vcio/pmic_read_adc")
	files["sys/devices/platform/soc/soc:firmware/get_throttled"] = "20004\n"
	got := scrape(t, hostmetricstest.Write(t, files))
	for _, want := range []string{`host_throttled{reason="throttled"} 1`, `host_throttled_since_boot{reason="frequency_capped"} 1`, `readable{part="supply"} 1`} {
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
