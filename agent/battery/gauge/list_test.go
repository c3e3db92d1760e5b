package gauge

import (
	"bufio"
	"bytes"
	"testing"
)

func FuzzNUT(f *testing.F) {
	f.Add([]byte("BEGIN LIST VAR desk\nVAR desk ups.status \"OB LB\"\nVAR desk battery.charge \"4\"\nEND LIST VAR desk\n"))
	f.Add([]byte("ERR DATA-STALE\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		vars, err := parseList(bufio.NewReaderSize(bytes.NewReader(answer), nutLine), "VAR desk")
		if err != nil {
			return
		}
		if len(vars) > nutLines {
			t.Errorf("%d variables", len(vars))
		}
		if r, err := fromNUT(vars); err == nil && r.Load < 0 {
			t.Errorf("%+v", r)
		}
	})
}
