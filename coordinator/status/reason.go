package status

import (
	"strings"

	"primespark/shared/health"
)

// A Reason is a condition of a node, of which gossip carries the code only, in
// the words of the page.
type Reason struct{ Title, Detail, Remedy string }

// reasons are the codes of /readyz. The node itself knows more: its own sentence
// is in its /readyz and in prime-spark-agent doctor.
var reasons = map[health.Code]Reason{
	health.Starting:      {"", "It has just started and loads its models.", "Wait a minute; its log tells what takes longer."},
	health.NoQuorum:      {"", "It reaches no majority of the coordinators: nothing can be decided.", "Start the coordinators that are down, or mend the network between them."},
	health.StorageFull:   {"", "Its disk is full: writes are refused.", "Make room on it, or bound what is kept in its configuration."},
	health.ClockUnsynced: {"", "Its clock is not set by the network, so that certificates and deadlines cannot be trusted.", "Look at timedatectl on it; allow NTP, or fit a battery to its clock."},
	health.CorruptStore:  {"", "A store on its disk is damaged.", "Its log names the file and the command that repairs it; look after the disk."},
	health.Draining:      {"", "It finishes its work and takes no more.", "That was asked for; prime-spark undrain gives it work again."},
	health.LowBattery:    {"", "Its battery is nearly empty.", "Bring the mains back, or shut it down by hand."},
	health.NoModels:      {"", "No model can answer on it.", "Its POST /v2/repository/index tells the reason of each model; load one."},
	health.DiskStalled:   {"", "The disk under its state does not answer.", "Look at dmesg on it, and replace the disk."},
	health.Removed:       {"", "The other coordinators do not count it any more.", "Join it again with a new code, or take it out of service."},
	health.SlowDisk:      {"", "Its disk is slow: agreeing, and replacing a leader, take longer.", "Put the state on an SSD."},
	health.BackupFailed:  {"", "Its last backup failed.", "The page of the fleet tells why."},
	health.Accelerator:   {"", "Its accelerator does not work as it should.", "Run prime-spark-agent doctor on it."},
	health.SafeMode:      {"", "It crashed again and again and runs with the least that it needs.", "Its log tells of the crashes; once the cause is gone, restart it."},
}

// explain puts a code into words; one that is unknown, of a newer version or of
// a sick node, is shown as it is.
func explain(code string) Reason {
	r, ok := reasons[health.Code(code)]
	if !ok {
		r = Reason{"", "The node says so.", "Its /readyz tells more; so does prime-spark-agent doctor on it."}
	}
	r.Title = strings.ReplaceAll(code, "_", " ")
	return r
}
