package task

import (
	"fmt"
	"strconv"
	"strings"
)

// A Lease is one node's right to work on a task, as a fence: the numbers only
// grow. Its text is "3-1042".
type Lease struct {
	Epoch uint32 // of the task: how often it has been leased. Side effects carry it
	Seq   uint64 // of the cluster: how many leases there have been
}

// IsZero reports whether there was never a lease.
func (l Lease) IsZero() bool { return l == Lease{} }

func (l Lease) String() string { return fmt.Sprintf("%d-%d", l.Epoch, l.Seq) }

// MarshalText writes the text of a lease.
func (l Lease) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (l *Lease) UnmarshalText(b []byte) error {
	epoch, seq, _ := strings.Cut(string(b), "-")
	e, err := strconv.ParseUint(epoch, 10, 32)
	if err == nil {
		l.Epoch = uint32(e)
		l.Seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil || l.String() != string(b) {
		return fmt.Errorf("%.40q is no lease; it looks like 3-1042", b)
	}
	return nil
}
