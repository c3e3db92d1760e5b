// Package hostmetricstest is a Raspberry Pi made of files, for tests of what is
// told of a host.
package hostmetricstest

import (
	"os"
	"path/filepath"
	"testing"

	"primespark/shared/firmware"
	"primespark/shared/hostmetrics"
)

// Pi returns the files of /proc and /sys of a Raspberry Pi 5, by name, of which a
// test may change some.
func Pi() map[string]string {
	return map[string]string{
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
		"sys/class/hwmon/hwmon3/name":                          "rpi_volt\n",
		"sys/class/hwmon/hwmon3/in0_lcrit_alarm":               "1\n",
		"sys/class/hwmon/hwmon4/name":                          "pwmfan\n",
		"sys/class/hwmon/hwmon4/fan1_input":                    "3012\n",
		"dev/vcio/get_throttled":                               "throttled=0x50001\n", // a folder in place of the mailbox
		"dev/vcio/pmic_read_adc":                               "VDD_CORE_A current(7)=2.0A\nVDD_CORE_V volt(15)=1.0V\nEXT5V_V volt(24)=4.95V\n",
		"sys/firmware/devicetree/base/model":                   "Raspberry Pi 5 Model B Rev 1.0\x00",
	}
}

// Write writes such files and returns where a Collector finds them.
func Write(t testing.TB, files map[string]string) hostmetrics.Config {
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
	return hostmetrics.Config{
		Proc: filepath.Join(dir, "proc"), Sys: filepath.Join(dir, "sys"), Firmware: firmware.Mailbox{Path: filepath.Join(dir, "dev/vcio")},
	}
}
