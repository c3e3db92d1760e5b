package meshnet_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	want := meshnet.Facts{Generation: 3, At: time.Unix(1, 0).UTC(), Report: mesh.Report{Version: 9, Hub: "c1"}}
	if err := meshnet.Write(&b, meshnet.Frame{Facts: &want}); err != nil {
		t.Fatal(err)
	}
	in := meshnet.NewReader(&b)
	got, err := in.Read()
	if err != nil || got.Facts == nil || got.Facts.Generation != 3 || got.Facts.Report.Hub != "c1" {
		t.Errorf("%+v, %v", got.Facts, err)
	}
	if _, err := in.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last one: %v", err)
	}
	for name, text := range map[string]string{
		"cut off":        `{"facts"`,
		"no JSON":        "hello\n",
		"a bad name":     `{"wanted":{"self":"../etc"}}` + "\n",
		"a bad map":      `{"wanted":{"self":"pi","map":{"version":1,"cluster":"x"}}}` + "\n",
		"a bad sighting": `{"wanted":{"self":"pi","sightings":[{"node":"x","endpoint":"y"}]}}` + "\n",
		"endless":        strings.Repeat("x", 9<<20),
	} {
		if _, err := meshnet.NewReader(strings.NewReader(text)).Read(); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// FuzzReader: whatever comes from the other end of the socket, what is returned is
// good, and can be written and read again.
func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"wanted":{"self":"pi","map":{"version":0}}}` + "\n"))
	f.Add([]byte(`{"facts":{"generation":1,"report":{"version":2}}}` + "\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := meshnet.NewReader(bytes.NewReader(b))
		for {
			frame, err := in.Read()
			if err != nil {
				return
			}
			if frame.Wanted != nil && frame.Wanted.Check() != nil || frame.Facts != nil && frame.Facts.Check() != nil {
				t.Fatalf("%+v was read and is not good", frame)
			}
			var again bytes.Buffer
			if err := meshnet.Write(&again, frame); err != nil {
				t.Fatal(err)
			}
			if _, err := meshnet.NewReader(&again).Read(); err != nil {
				t.Fatalf("%s: %v", again.Bytes(), err)
			}
		}
	})
}
