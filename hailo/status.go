package hailo

import (
	"strings"

	"primespark/shared/worker/frame"
)

// Numbers of hailo_status (hailort.h, equal from 4.17 to 5.2 up to 84; 85 and on
// came with 4.20, 91 with 4.21, 94 with 5.x).
const (
	statusInvalidArgument   = 2
	statusOutOfHostMemory   = 3
	statusTimeout           = 4
	statusInsufficientSize  = 5
	statusNotImplemented    = 7
	statusInternal          = 8
	statusDataAlignment     = 9
	statusFirmwareControl   = 18
	statusInvalidHEF        = 26
	statusDriverFailed      = 36
	statusDriverMissing     = 64
	statusBusy              = 73
	statusNoDevice          = 74
	statusDriverVersion     = 76
	statusRPCFailed         = 77
	statusServiceVersion    = 78
	statusInterrupted       = 88
	statusConnectionRefused = 89
	statusCorruptHEF        = 91
	statusHEFNotSupported   = 92
	statusHEFNotCompatible  = 93
)

// OfRequest reports a failure for which only the request is to blame: the worker
// is as good as before.
func OfRequest(f *frame.Failure) bool {
	switch f.Status {
	case frame.Malformed, frame.Full, statusInvalidArgument, statusInsufficientSize, statusDataAlignment:
		return true
	}
	return false
}

// Explain says in words what a failure of a worker means on a host, and what
// mends it. Log is the library's last line about an error; it often has the
// precise reason. The host may have changed since it was looked at last, so give
// fresh facts.
func Explain(f *frame.Failure, log string, host Facts) Finding {
	told := words(f, log)
	chip, there := host.Chip()
	switch f.Status {
	case frame.NoLibrary:
		return fault(RuntimeMissing, remedyInstall, "HailoRT cannot be used: %s.", told)
	case frame.Unknown:
		return fault(Unsupported, "sudo apt install python3-hailort, which serves versions that the worker does not know.", "This version of HailoRT is not known to the worker: %s.", told)
	case frame.Layout:
		return fault(Unsupported, "sudo apt install python3-hailort; and report it, with the output of prime-spark-agent hailo selftest --json.", "HailoRT describes the model otherwise than its file does: %s.", told)
	case frame.Memory:
		return fault(HostMemory, "Set a smaller hailo.depth, or unload a model.", "The worker has no memory left.")
	case frame.Crashed:
		return warning(InferAborted, "It is started again by itself; if that goes on, report it.", "HailoRT crashed: %s.", told)
	case frame.Broken:
		return warning(InferAborted, "Try again.", "An inference failed before; the worker is restarted.")
	case frame.NoDevice, statusDriverMissing, statusNoDevice, statusBusy:
		return nobody(f, host, there)
	case statusDriverVersion, 85, 86:
		if found, ok := versions(host, chip); ok {
			return found
		}
		return fault(VersionMismatch, "sudo apt install --reinstall hailort hailort-pcie-driver && sudo reboot; on Bookworm sudo apt full-upgrade && sudo reboot",
			"The driver and HailoRT do not fit each other: %s.", told)
	case 16, 48:
		return fault(FirmwareMismatch, "Power the Pi off and on, so that the driver loads the firmware anew; then sudo apt full-upgrade.", "The chip's firmware and HailoRT are of different versions: %s.", told)
	case statusRPCFailed, statusConnectionRefused:
		return fault(ServiceDown, "sudo systemctl restart hailort.service; systemctl status hailort.service says more. Or set hailo.share: exclusive.", "hailort.service does not answer.")
	case statusServiceVersion:
		return fault(ServiceVersion, "sudo systemctl restart hailort.service", "The hailort.service that runs is of another version than HailoRT.")
	case statusInvalidHEF, statusCorruptHEF:
		return fault(ModelCorrupt, "Copy the file again; if it came by git, git lfs pull.", "The HEF is damaged: %s.", told)
	case statusHEFNotSupported:
		return fault(ModelTooNew, "Upgrade HailoRT, or compile the model with an older Dataflow Compiler.", "This HailoRT is too old for the HEF: %s.", told)
	case statusHEFNotCompatible:
		return fault(ModelWrongArch, "Use the file for this chip: _h8 for Hailo-8, _h8l for Hailo-8L.", "The HEF was compiled for another chip.")
	case statusInternal:
		if d, loaded := host.Module(moduleOf8); loaded && strings.Contains(f.Call, "configure") && host.PageSize > 4096 && d.ForceDescPageSize == 0 {
			return pageSize(host, Fault)
		}
	case statusTimeout:
		return warning(InferTimeout, "If it happens again, look at the supply, at the temperature and at the PCIe generation in prime-spark-agent doctor.", "The chip gave no result in time; the worker is restarted.")
	case statusDriverFailed, 87, 44, statusFirmwareControl:
		return lost(host, chip, "The Hailo stopped answering")
	case statusInterrupted:
		return warning(InferAborted, "Try again.", "The call was interrupted.")
	case 71, 24, 47:
		return fault(ModelTooMany, "Unload a model.", "There are too many, or too large, models for the chip.")
	case statusOutOfHostMemory, 81:
		return fault(HostMemory, "Set a smaller hailo.depth, or unload a model.", "The host has not enough memory for the chip's buffers.")
	case 62, 63, 57, 70, 72:
		return warning(InferAborted, "Try again.", "The inference was stopped; the worker is restarted.")
	case statusInvalidArgument, statusInsufficientSize, statusDataAlignment:
		return warning(InferBadInput, "Send a tensor of the model's size.", "A tensor does not have the model's size: %s.", told)
	case statusNotImplemented, 79, 94:
		return fault(Unsupported, "sudo apt install python3-h10-hailort", "The chip is served by the Python worker only, and its Python package is not installed.")
	}
	return fault(Unknown, "Report it, with the output of prime-spark-agent hailo selftest --json.", "The Hailo failed: %s.", known(f, log))
}

// words is what is known of a failure besides what it is taken for.
func words(f *frame.Failure, log string) string {
	switch {
	case log != "":
		return log
	case f.Detail != "":
		return f.Detail
	case f.Text != "":
		return f.Text
	}
	return f.Error()
}

// known is all that is known of a failure.
func known(f *frame.Failure, log string) string {
	if log == "" {
		return f.Error()
	}
	return f.Error() + "; HailoRT's last word: " + log
}

// nobody finds out what it means that the library got no device: it says the
// same (74) of a chip that is not there, has no driver, or is used by another.
func nobody(f *frame.Failure, host Facts, there bool) Finding {
	for _, found := range Diagnose(host) {
		if found.Severity == Fault {
			return found
		}
	}
	switch {
	case !there && !host.Simulated:
		found := absent(host)
		found.Severity = Fault
		return found
	case f.Status == statusDriverMissing:
		return fault(DriverMissing, "sudo modprobe hailo_pci", "HailoRT does not see the driver.")
	case len(host.Holders) > 0:
		return fault(Busy, "Stop it, or set hailo.share: service here and share through hailort.service there.", "The Hailo is used by %s.", holders(host.Holders))
	}
	return fault(Busy, "sudo fuser -v /dev/hailo0 shows by whom. Stop it, or set hailo.share: service.", "The Hailo is used by another program.")
}
