package hostmetrics

import "github.com/prometheus/client_golang/prometheus"

// A desc is one name with its help and kind.
type desc struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

var all []*desc // filled by the definitions below, before anything runs

func define(kind prometheus.ValueType, name, help string, labels ...string) *desc {
	d := &desc{prometheus.NewDesc("primespark_host_"+name, help, labels, nil), kind}
	all = append(all, d)
	return d
}

func gauge(name, help string, labels ...string) *desc {
	return define(prometheus.GaugeValue, name, help, labels...)
}

func counter(name, help string, labels ...string) *desc {
	return define(prometheus.CounterValue, name+"_total", help, labels...)
}

var (
	readable = gauge("readable", "1 if this part of the host could be read.", "part")

	cpuSeconds   = counter("cpu_seconds", "Time of each processor by what it did.", "cpu", "mode")
	cpuFrequency = gauge("cpu_frequency_hertz", "Present frequency of each processor.", "cpu")
	loads        = map[string]*desc{
		"1m":  gauge("load1", "Mean number of runnable or waiting processes, 1 minute."),
		"5m":  gauge("load5", "The same over 5 minutes."),
		"15m": gauge("load15", "The same over 15 minutes."),
	}

	memoryTotal     = gauge("memory_total_bytes", "Memory of the host.")
	memoryAvailable = gauge("memory_available_bytes", "Memory that programs can have without swapping.")
	memoryCached    = gauge("memory_cached_bytes", "Memory that holds parts of files.")
	swapTotal       = gauge("swap_total_bytes", "Swap space.")
	swapFree        = gauge("swap_free_bytes", "Swap space that is free.")

	diskRead      = counter("disk_read_bytes", "Bytes read, by disk.", "device")
	diskWritten   = counter("disk_written_bytes", "Bytes written, by disk. SD cards wear out by it.", "device")
	diskReads     = counter("disk_reads_completed", "Reads, by disk.", "device")
	diskWrites    = counter("disk_writes_completed", "Writes, by disk.", "device")
	diskIO        = counter("disk_io_seconds", "Time in which the disk had something to do.", "device")
	diskReadTime  = counter("disk_read_seconds", "Time that reads took, all together.", "device")
	diskWriteTime = counter("disk_write_seconds", "Time that writes took, all together.", "device")

	fsSize      = gauge("filesystem_size_bytes", "Size of a file system.", "device", "mountpoint", "fstype")
	fsAvailable = gauge("filesystem_available_bytes", "Room for programs that are not root.", "device", "mountpoint", "fstype")
	fsFiles     = gauge("filesystem_files", "Files that the file system can hold; 0 if it has no bound.", "device", "mountpoint", "fstype")
	fsFilesFree = gauge("filesystem_files_free", "Files that can be added.", "device", "mountpoint", "fstype")
	fsReadOnly  = gauge("filesystem_readonly", "1 if it is mounted read-only, as Linux does after a fault of the disk.", "device", "mountpoint", "fstype")

	netReceived  = counter("network_receive_bytes", "Bytes received, by interface.", "device")
	netSent      = counter("network_transmit_bytes", "Bytes sent, by interface.", "device")
	netInPackets = counter("network_receive_packets", "Packets received, by interface.", "device")
	netOutPacket = counter("network_transmit_packets", "Packets sent, by interface.", "device")
	netInErrors  = counter("network_receive_errors", "Packets that came in damaged.", "device")
	netOutErrors = counter("network_transmit_errors", "Packets that could not be sent.", "device")
	netInDrops   = counter("network_receive_drops", "Packets that came in and were dropped.", "device")
	netOutDrops  = counter("network_transmit_drops", "Packets that were dropped before they left.", "device")

	celsius = gauge("temperature_celsius", "Temperature, by sensor.", "sensor")

	throttled    = gauge("throttled", "1 while the Pi's firmware holds the processor back, by reason.", "reason")
	wasThrottled = gauge("throttled_since_boot", "1 if it has done so since the boot, by reason.", "reason")

	underVoltage = gauge("under_voltage", "1 while the kernel's alarm of a Raspberry Pi's supply is on.")
	supplyVolts  = gauge("supply_volts", "Voltage at the 5 V input of a Raspberry Pi 5.")
	boardWatts   = gauge("board_watts", "What a Raspberry Pi 5 draws, reckoned from its rails.")
	fanRPM       = gauge("fan_rpm", "Turns of a fan in a minute.", "sensor")

	bootTime = gauge("boot_time_seconds", "When the host was booted, Unix time.")
	now      = gauge("time_seconds", "The host's clock, Unix time.")
	synced   = gauge("clock_synchronized", "1 if the kernel holds the clock for synchronized (adjtimex).")
	clockOff = gauge("clock_estimated_error_seconds", "How wrong the clock may be, as the kernel estimates.")

	hostInfo = gauge("info", "1, with the host's kernel, machine and board model.", "release", "machine", "model")
)
