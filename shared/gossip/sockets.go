package gossip

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"strconv"
	"strings"
)

// DefaultPort is the port of gossip where nothing else is configured, and Spare is
// how many of the ones after it are tried where somebody has it: an agent and a
// coordinator on one host both come with it. Whichever starts later is found under
// the next port, since members tell each other where they are; and a seed that names
// the first port finds a member of the fleet there, the other of the two.
const (
	DefaultPort = 7482
	Spare       = 3
)

// listen opens UDP and TCP at "host:port", or at one of so many ports after it.
func listen(bind string, spare int, bridge *log.Logger) (*sockets, error) {
	host, service, err := net.SplitHostPort(bind)
	if err != nil {
		return nil, fmt.Errorf("gossip bind %q: %w; give :7482 or an IP address and a port", bind, err)
	}
	port, err := strconv.Atoi(service)
	if err != nil || port < 0 || port > 65535 || net.ParseIP(bindIP(host)) == nil {
		return nil, fmt.Errorf("gossip bind %q: give :7482 or an IP address and a port", bind)
	}
	ip := net.ParseIP(bindIP(host))
	anyPort := port == 0
	if anyPort {
		spare = 10 // tries: a port that is free for TCP may be taken for UDP
	}
	for try := 0; ; try++ {
		t, err := openSockets(ip, port, bridge)
		if err == nil {
			return t, nil
		}
		if try == spare {
			return nil, fmt.Errorf("gossip bind %s: %w", bind, err)
		}
		if !anyPort {
			port++
		}
	}
}

// spare is how many ports may be tried besides that of an address.
func spare(bind string) int {
	if _, port, err := net.SplitHostPort(bind); err == nil && port == strconv.Itoa(DefaultPort) {
		return Spare
	}
	return 0 // somebody chose it, and may have opened a firewall for it
}

func bindIP(host string) string {
	switch host {
	case "":
		return "0.0.0.0"
	case "localhost":
		return "127.0.0.1"
	}
	return host
}

// bridge returns a logger for memberlist, which talks much of what is normal on
// a network: a probe that was lost, a packet that was not for us. It all goes to
// debug, under one message, so that the log's limit for repetition holds it.
func bridge(to *slog.Logger) *log.Logger { return log.New(bridged{to}, "", 0) }

type bridged struct{ log *slog.Logger }

func (b bridged) Write(line []byte) (int, error) {
	if b.log.Enabled(context.Background(), slog.LevelDebug) {
		text := strings.TrimSpace(string(line[:min(len(line), 500)]))
		b.log.Debug("memberlist", "says", text)
	}
	return len(line), nil
}
