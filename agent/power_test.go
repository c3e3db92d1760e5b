package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/config"
	"primespark/agent/power"
	"primespark/shared/conf"
	"primespark/shared/testphoto"
)

// onSim gives an agent a battery that follows a script.
func onSim(points ...config.Point) func(*config.Config) {
	return func(c *config.Config) {
		c.Battery.Source, c.Battery.Script = "sim", points
		c.Power.Timing.Grace = conf.Duration(20 * time.Second)
	}
}

func at(d time.Duration, mains bool, soc float64) config.Point {
	return config.Point{T: conf.Duration(d), Mains: mains, SoC: soc, Load: 5}
}

// powered reads /v1/node.
func (l *lone) powered() (s power.Status, ready []string) {
	l.t.Helper()
	var self struct {
		Power power.Status
		Vital struct{ Reasons []string }
	}
	_, text := l.call("GET", "/v1/node", nil, time.Second)
	if err := json.Unmarshal([]byte(text), &self); err != nil {
		l.t.Fatal(err)
	}
	return self.Power, self.Vital.Reasons
}

// TestActsByItsBattery: on battery the node sheds what is least, low it serves its own
// host only, and at last it goes down by itself and can tell why.
func TestActsByItsBattery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cfg config.Config
		l := start(t, true, onSim(
			at(0, true, 0.9), at(time.Minute, false, 0.9), at(4*time.Minute, false, 0.75), at(6*time.Minute, false, 0.75), at(7*time.Minute, false, 0.05),
		), func(c *config.Config) { c.Power.Thresholds.Low = 0.8; cfg = *c })
		infer := func(priority string) int {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:7491/v2/models/blazeface/infer", bytes.NewReader(testphoto.Astronaut()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Priority", priority)
			res, err := l.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, res.Body)
			if err = errors.Join(err, res.Body.Close()); err != nil {
				t.Fatal(err)
			}
			return res.StatusCode
		}
		l.call("GET", "/v2/models/blazeface/ready", nil, time.Minute)
		time.Sleep(30 * time.Second)
		if s, _ := l.powered(); s.Mode != power.Mains || infer("7") != 200 {
			t.Errorf("on mains: %+v", s)
		}
		time.Sleep(40 * time.Second)
		if s, reasons := l.powered(); s.Mode != power.OnBattery || infer("7") != 503 || infer("3") != 200 || len(reasons) > 0 || len(s.Taken) != 3 {
			t.Errorf("on battery: %+v, %v", s, reasons)
		}
		time.Sleep(4 * time.Minute)
		if s, reasons := l.powered(); s.Mode != power.Low || strings.Join(reasons, " ") != "low_battery" || infer("4") != 503 || infer("3") != 200 {
			t.Errorf("low: %+v, %v", s, reasons)
		}
		time.Sleep(5 * time.Minute)
		l.stop() // it has ended by itself: its machine is a pretended one
		told, err := Explain(config.Config{StateDir: cfg.StateDir})
		if err != nil || len(told) != 1 || !told[0].Known || !strings.Contains(told[0].Why, "critical") {
			t.Errorf("explained as %+v, %v", told, err)
		}
	})
}
