package firmware_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"primespark/shared/firmware"
)

// adc is what a Pi 5 at rest answers, some of it.
const adc = `   3V7_WL_SW_A current(0)=0.10000000A
   3V3_SYS_A current(1)=0.20000000A
   VDD_CORE_A current(7)=2.00000000A
   3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
   VDD_CORE_V volt(15)=0.80000000V
   EXT5V_V volt(24)=5.15252000V
   BATT_V volt(25)=0.00000000V
`

func TestAFolderInPlaceOfTheMailbox(t *testing.T) {
	dir := t.TempDir()
	m := firmware.Mailbox{Path: dir}
	if _, err := m.Throttled(); !errors.Is(err, firmware.ErrNone) {
		t.Errorf("nothing there: %v", err)
	}
	for name, text := range map[string]string{"get_throttled": "throttled=0x50005\n", "pmic_read_adc": adc} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := m.Throttled()
	if err != nil || !w.Now(0) || w.Now(1) || !w.Now(2) || !w.SinceBoot(0) || w.SinceBoot(3) {
		t.Errorf("%#x, %v", uint32(w), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "measure_volts"), []byte(`error=1 error_msg="Command not registered"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ask("measure_volts"); !errors.Is(err, firmware.ErrNone) {
		t.Errorf("a command that an older Pi does not know: %v", err)
	}
	s, err := m.Supply()
	if err != nil || s.Volts != 5.15252 || math.Abs(s.Watts-((0.37+0.66+1.6)*1.1451+0.5879)) > 1e-9 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestNoPi(t *testing.T) {
	if _, err := (firmware.Mailbox{Path: filepath.Join(t.TempDir(), "vcio")}).Ask("version"); !errors.Is(err, firmware.ErrNone) {
		t.Errorf("no mailbox: %v", err)
	}
	if _, err := (firmware.Mailbox{Path: "/dev/null"}).Ask("get_throttled"); !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "get_throttled") {
		t.Errorf("no mailbox but another device: %v", err)
	}
	if _, err := (firmware.Mailbox{Path: "/dev/null"}).Ask(strings.Repeat("x", 2000)); err == nil {
		t.Error("a command of 2000 bytes is sent")
	}
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, answer := range []string{"", "throttled=", "throttled=warm", "0x123456789", `error=1 error_msg="Command not registered"`} {
		if w, err := firmware.ParseThrottle(answer); !errors.Is(err, firmware.ErrAnswer) {
			t.Errorf("%q: %#x, %v", answer, uint32(w), err)
		}
	}
	for _, answer := range []string{"", "EXT5V_V volt(24)=5.1V", "EXT5V_V volt(24)=manyV\n", "EXT5V_V volt(24)=-5V", "EXT5V_V volt(24)=NaNV", `error=1 error_msg="Command not registered"`} {
		if s, err := firmware.ParseSupply(answer); !errors.Is(err, firmware.ErrAnswer) {
			t.Errorf("%q: %+v, %v", answer, s, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add("throttled=0x50005")
	f.Add(adc)
	f.Fuzz(func(t *testing.T, answer string) {
		if s, err := firmware.ParseSupply(answer); err == nil && !(s.Volts > 0 && s.Volts <= 100 && s.Watts > 0 && !math.IsInf(s.Watts, 0)) {
			t.Errorf("%q: %+v", answer, s)
		}
		if _, err := firmware.ParseThrottle(answer); err != nil && !errors.Is(err, firmware.ErrAnswer) {
			t.Errorf("%q: %v", answer, err)
		}
	})
}

func ExampleParseThrottle() {
	w, err := firmware.ParseThrottle("throttled=0x50000")
	fmt.Println(w.Now(0), w.SinceBoot(0), err)
	// Output: false true <nil>
}
