package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
)

// An Ack says which samples of one life of a node are stored for good: in each
// stream all up to a sequence. It never takes anything back.
type Ack struct {
	Boot    int64
	Streams map[Stream]uint64
}

// Ack is the topic on which the coordinators acknowledge what they have stored.
func (t Topics) Ack() string { return t.Base() + "ack" }

const (
	ackStreams = 64       // of a node: as many as it can have
	ackBytes   = 16 << 10 // of an acknowledgement as it travels
)

var errAck = errors.New("no acknowledgement")

// MarshalJSON writes {"boot": 1, "cpu": 7, ...}.
func (a Ack) MarshalJSON() ([]byte, error) {
	all := make(map[string]any, len(a.Streams)+1)
	for s, seq := range a.Streams {
		all[string(s)] = seq
	}
	all["boot"] = a.Boot
	return json.Marshal(all)
}

// UnmarshalJSON reads what MarshalJSON writes. There is no stream named boot: it
// could not be acknowledged.
func (a *Ack) UnmarshalJSON(b []byte) error {
	if len(b) > ackBytes {
		return fmt.Errorf("%w: %d bytes", errAck, len(b))
	}
	var all map[string]uint64
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("%w: %w", errAck, err)
	}
	boot, ok := all["boot"]
	if !ok || boot > 1<<53 || len(all) > ackStreams+1 {
		return fmt.Errorf("%w: boot %d, %d streams", errAck, boot, len(all)-1)
	}
	delete(all, "boot")
	*a = Ack{Boot: int64(boot), Streams: make(map[Stream]uint64, len(all))}
	for s, seq := range all {
		if !Stream(s).Valid() {
			return fmt.Errorf("%w: of stream %.40q", errAck, s)
		}
		a.Streams[Stream(s)] = seq
	}
	return nil
}
