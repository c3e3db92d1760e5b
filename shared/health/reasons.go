package health

import (
	"maps"
	"slices"
	"strings"
)

// A reason is a code in words, for those who know no more than the code: gossip
// carries nothing else.
type reason struct{ detail, remedy string }

// reasons are all codes that a node may tell of. The node itself knows more: its own
// sentence is in its /readyz. NODE stands for its name.
var reasons = map[Code]reason{
	Starting:      {"It has just started and loads its models.", "Wait a minute; its log tells what takes longer."},
	NoQuorum:      {"It reaches no majority of the coordinators: nothing can be decided.", "Start the coordinators that are down, or mend the network between them; prime-spark coordinators list names them."},
	StorageFull:   {"Its disk is full: writes are refused.", "Make room on it, or bound what is kept in its configuration."},
	ClockUnsynced: {"Its clock is not set by the network, so that certificates and deadlines cannot be trusted.", "Look at timedatectl on it; allow NTP, or fit a battery to its clock."},
	CorruptStore:  {"A store on its disk is damaged.", "Its log names the file and the command that repairs it; look after the disk."},
	Draining:      {"It finishes its work and takes no more.", "That was asked for; prime-spark undrain NODE gives it work again."},
	LowBattery:    {"Its battery is nearly empty.", "Bring the mains back, or shut it down by hand."},
	GoingDown:     {"Its host is being switched off.", "prime-spark-agent explain on it tells why, once it is back."},
	Waiting:       {"It waits for others of its site to come back first.", "Wait for some minutes; site in agent.yaml has the order."},
	NoModels:      {"No model can answer on it.", "prime-spark models list tells the reason of each; prime-spark models add gives the fleet one."},
	DiskStalled:   {"The disk under its state does not answer.", "Look at dmesg on it, and replace the disk."},
	Removed:       {"The other coordinators do not count it any more.", "Join it again with a new code, or take it out of service."},
	"revoked":     {"It was revoked: no other node talks to it any more.", "To take it back, join it with a code of prime-spark join-code create --rejoin."},

	SlowDisk:                 {"Its disk is slow: agreeing, and replacing a leader, take longer.", "Put the state on an SSD."},
	BackupFailed:             {"Its last backup failed.", "See that backup.dir is mounted and writable on every coordinator, and has room."},
	Accelerator:              {"Its accelerator does not work as it should.", "Run prime-spark-agent doctor on it."},
	SafeMode:                 {"It crashed again and again and runs with the least that it needs.", "Its log tells of the crashes; once the cause is gone, restart it."},
	"certificate_expiring":   {"Its certificate should have been renewed by now, and was not.", "See that it reaches a coordinator and that its clock is right; its log tells why."},
	"power":                  {"Its power supply or its UPS wants somebody to see to it.", "Run prime-spark-agent doctor on it; prime-spark node NODE has the figures."},
	"mqtt_taken_over":        {"Another client uses its name at the MQTT broker, and throws it out.", "Give each node a name of its own; look for a copy of this node's disk that runs elsewhere."},
	"history_unacknowledged": {"A broker takes its samples, and no coordinator stores them.", "Set mqtt.broker on the coordinators, too, or mqtt.ack: broker on the node."},
	"history_waits":          {"No other coordinator stores what this one does, so nodes keep their samples.", "Start the other coordinators, or see why they do not reach this one."},
}

// Codes are all codes that nodes may tell of, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(reasons)) }

// Explain puts a code of a node into words, and says what to do. One that is unknown,
// of a newer version or of a sick node, is told as what the node says; known is
// false then.
func Explain(code Code, node string) (detail, remedy string, known bool) {
	r, known := reasons[code]
	if !known {
		r = reason{"The node says so.", "Its /readyz tells more; so does prime-spark-agent doctor on it."}
	}
	return r.detail, strings.ReplaceAll(r.remedy, "NODE", node), known
}
