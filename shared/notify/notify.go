// Package notify tells the service manager how a daemon fares: that it is ready,
// what it is doing, and, again and again, that it is alive (sd_notify(3),
// sd_watchdog_enabled(3)).
//
// The loop that matters most to a daemon calls Beat. When that loop hangs, the
// watchdog's time runs out, and systemd starts the daemon anew.
package notify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Notifier speaks to the service manager. A nil one does nothing, for daemons
// that were started by hand. It is safe for concurrent use.
type Notifier struct {
	every time.Duration // between two signs of life; 0: none is asked for

	mu     sync.Mutex
	conn   *net.UnixConn
	ready  bool
	status string
	beat   time.Time // when the last sign of life was given
}

// FromEnv connects to the service manager that started this process, by its
// NOTIFY_SOCKET; nil if there is none. The variables are removed: they are not for
// children.
func FromEnv() (*Notifier, error) {
	socket, usec, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("remove %s from the environment: %w", name, err)
		}
	}
	if socket == "" {
		return nil, nil
	}
	if pid != "" && pid != strconv.Itoa(os.Getpid()) {
		usec = "" // it is another process that is watched
	}
	return Dial(socket, usec)
}

// Dial connects to a service manager's socket: a path, or an abstract name that
// begins with @. watchdog is the time, in microseconds, after which it takes a
// silent daemon for hung; empty for never.
func Dial(socket, watchdog string) (*Notifier, error) {
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return nil, fmt.Errorf("the service manager's socket %q is neither a path nor an abstract name", socket)
	}
	n := &Notifier{}
	if watchdog != "" {
		usec, err := strconv.ParseInt(watchdog, 10, 63)
		if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
			return nil, fmt.Errorf("WATCHDOG_USEC=%q is not a number of microseconds", watchdog)
		}
		n.every = time.Duration(usec) * time.Microsecond / 4
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("connect to the service manager: %w", err)
	}
	n.conn = conn
	return n, nil
}

// Beat says that the daemon is alive, and in one sentence what it is doing, as
// "systemctl status" shows it. The first one says that it is ready. Call it as
// often as convenient: what is no news is not sent, and signs of life only four
// times in the watchdog's time.
func (n *Notifier) Beat(status string) error {
	if n == nil {
		return nil
	}
	status = oneLine(status)
	n.mu.Lock()
	defer n.mu.Unlock()
	var news []string
	now := time.Now()
	if !n.ready {
		news = append(news, "READY=1")
	}
	if status != n.status {
		news = append(news, "STATUS="+status)
	}
	alive := n.every > 0 && now.Sub(n.beat) >= n.every
	if alive {
		news = append(news, "WATCHDOG=1")
	}
	if len(news) == 0 {
		return nil
	}
	if err := n.send(news); err != nil {
		return err
	}
	n.ready, n.status = true, status
	if alive {
		n.beat = now
	}
	return nil
}

// Stopping says that the daemon is about to end.
func (n *Notifier) Stopping() error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.send([]string{"STOPPING=1"})
}

// Close ends the connection.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

// patience bounds how long a service manager that does not read may hold a
// daemon up.
const patience = time.Second

func (n *Notifier) send(lines []string) error {
	if err := n.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}

// oneLine keeps a status from being read as several assignments.
func oneLine(s string) string {
	const most = 500 // bytes; what is longer is of no use to a reader
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
