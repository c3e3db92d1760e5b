//go:build linux

package device

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// together is a bind that refuses batches, and counts what it sends.
type together struct {
	conn.Bind

	refusal error
	sent    int
}

func (b *together) Send(all [][]byte, _ conn.Endpoint) error {
	if len(all) > 1 && b.refusal != nil {
		return fmt.Errorf("sendmmsg: %w", b.refusal)
	}
	b.sent += len(all)
	return nil
}

func TestSingly(t *testing.T) {
	for refusal, want := range map[error]int{nil: 3, unix.EINVAL: 3, unix.EMSGSIZE: 3, unix.ENETUNREACH: 0} {
		b := &together{refusal: refusal}
		err := singly{b}.Send(make([][]byte, 3), nil)
		if b.sent != want || (err == nil) != (want == 3) || want == 0 && !errors.Is(err, refusal) {
			t.Errorf("a bind that says %v to a batch: %d sent, %v", refusal, b.sent, err)
		}
	}
}
