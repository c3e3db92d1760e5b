package gauge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"primespark/agent/battery"
)

// A nut reads a UPS by a server of Network UPS Tools (RFC 9271). It asks, and never
// logs in: upsd counts those who log in, and waits for them before it cuts the power.
type nut struct {
	address, ups string
	dial         func(ctx context.Context, network, address string) (net.Conn, error)
}

func openNUT(c Config, _ chip) battery.Reader {
	n := nut{c.NUT, c.UPS, c.Dial}
	if n.dial == nil {
		n.dial = new(net.Dialer).DialContext
	}
	return n
}

// Bounds of what a server may answer.
const (
	nutLines = 1000
	nutLine  = 1024 // bytes
)

var (
	errNUT   = errors.New("NUT")
	errStale = errors.New("the driver has lost the UPS, and what it knows is old")
)

func (n nut) Read(ctx context.Context) (battery.Reading, error) {
	var vars map[string]string
	err := n.talk(ctx, func(conn net.Conn, in *bufio.Reader) (err error) {
		ups := n.ups
		if ups == "" {
			if ups, err = only(conn, in); err != nil {
				return err
			}
		}
		vars, err = list(conn, in, "VAR "+ups)
		return err
	})
	if err != nil {
		return battery.Reading{}, err
	}
	return fromNUT(vars)
}

// names are the UPSes of the server.
func (n nut) names(ctx context.Context) (all []string, err error) {
	err = n.talk(ctx, func(conn net.Conn, in *bufio.Reader) error {
		found, err := list(conn, in, "UPS")
		all = slices.Sorted(maps.Keys(found))
		return err
	})
	return all, err
}

// talk connects to the server for one conversation.
func (n nut) talk(ctx context.Context, say func(net.Conn, *bufio.Reader) error) error {
	conn, err := n.dial(ctx, "tcp", n.address)
	if err != nil {
		return fmt.Errorf("%w server: %w", errNUT, err)
	}
	defer conn.Close() // nothing is lost with it
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(5 * time.Second)
	}
	err = conn.SetDeadline(deadline)
	if err == nil {
		err = say(conn, bufio.NewReaderSize(conn, nutLine))
	}
	if err != nil {
		return fmt.Errorf("%w server %s: %w", errNUT, n.address, err)
	}
	return nil
}

// only returns the name of the server's UPS.
func only(conn net.Conn, in *bufio.Reader) (string, error) {
	all, err := list(conn, in, "UPS")
	if err != nil {
		return "", err
	}
	names := slices.Sorted(maps.Keys(all))
	if len(names) != 1 {
		return "", fmt.Errorf("it has %d UPSes; set battery.nut.ups to one of %.200q", len(names), names)
	}
	return names[0], nil
}

// list asks for a list of names with values.
func list(conn net.Conn, in *bufio.Reader, what string) (map[string]string, error) {
	if _, err := fmt.Fprintf(conn, "LIST %s\n", what); err != nil {
		return nil, err
	}
	return parseList(in, what)
}

// parseList reads the answer to LIST: lines between BEGIN and END, each with the words
// that were asked for, a name and a value in quotes.
func parseList(in *bufio.Reader, what string) (map[string]string, error) {
	all := map[string]string{}
	begun := false
	for range nutLines {
		raw, err := in.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("answer to LIST %s: %w", what, err)
		}
		line := strings.TrimRight(string(raw), "\r\n")
		switch {
		case strings.HasPrefix(line, "ERR "):
			return nil, refusal(line[4:])
		case !begun && line == "BEGIN LIST "+what:
			begun = true
		case begun && line == "END LIST "+what:
			return all, nil
		case begun && strings.HasPrefix(line, what+" "):
			name, value, ok := strings.Cut(line[len(what)+1:], " ")
			if !ok {
				return nil, fmt.Errorf("answer to LIST %s: %.60q", what, line)
			}
			all[name] = unquote(value)
		default:
			return nil, fmt.Errorf("answer to LIST %s: %.60q", what, line)
		}
	}
	return nil, fmt.Errorf("answer to LIST %s: more than %d lines", what, nutLines)
}

// unquote takes the quotes away, within which \ and " have a \ before them.
func unquote(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s)
}

// refusal is what the server's error means.
func refusal(text string) error {
	code, _, _ := strings.Cut(text, " ")
	switch code {
	case "DATA-STALE", "DRIVER-NOT-CONNECTED":
		return fmt.Errorf("%w (%s)", errStale, code)
	case "UNKNOWN-UPS":
		return fmt.Errorf("it has no such UPS; upsc -l names them (%s)", code)
	case "ACCESS-DENIED":
		return fmt.Errorf("it does not answer this host; see upsd.conf (%s)", code)
	}
	return fmt.Errorf("it answers %.60q", text)
}

// fromNUT makes a reading of a UPS's variables (NUT's docs/nut-names.txt).
func fromNUT(vars map[string]string) (battery.Reading, error) {
	status := strings.Fields(vars["ups.status"])
	has := func(word string) bool { return slices.Contains(status, word) }
	if has("OFF") || !has("OL") && !has("OB") && !has("FSD") {
		return battery.Reading{}, fmt.Errorf("%w: ups.status is %.40q, neither OL nor OB", errNUT, vars["ups.status"])
	}
	number := func(name string, scale float64) battery.Maybe[float64] {
		x, err := strconv.ParseFloat(vars[name], 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return battery.Maybe[float64]{} // this UPS does not tell
		}
		return battery.Known(x * scale)
	}
	var r battery.Reading
	if has("OL") != has("OB") { // OL and OB describe the input only
		r.Mains = battery.Known(has("OL"))
	}
	// Forced down, or on battery and nearly empty: what upsmon shuts down for.
	r.Shutdown = has("FSD") || has("OB") && has("LB")
	charge := number("battery.charge", 1e-2)
	r.Charge = battery.Maybe[battery.Charge]{Value: battery.Charge(charge.Value), Known: charge.Known}
	r.Celsius = number("battery.temperature", 1)
	r.Load = max(0, number("ups.realpower", 1).Value)
	if r.Mains.Is(false) {
		r.Minutes = number("battery.runtime", 1.0/60)
	}
	return r, nil
}
