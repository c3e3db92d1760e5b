package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"primespark/shared/worker/frame"
)

// socketsEnv names the directory of the sockets at which systemd listens for agents, and
// starts a worker for each connection. The agent's own unit sets it; an agent that
// somebody started by hand has workers as its children.
const socketsEnv = "PRIME_SPARK_WORKER_SOCKETS"

// UnitSocket is where systemd starts the worker of a name; empty if it does not for this
// process.
func UnitSocket(name string) string {
	if dir := os.Getenv(socketsEnv); dir != "" {
		return filepath.Join(dir, name+".socket")
	}
	return ""
}

const (
	// startTime is how long systemd may take to start a worker.
	startTime = 20 * time.Second
	// unitGrace is how long a worker of a unit gets to end: systemd's watchdog kills it
	// after 10 s (WatchdogSec) if it does not see that the connection is closed.
	unitGrace = 20 * time.Second
)

// launch starts a worker: in its unit, if systemd listens for that, or as a child.
func (s *Supervisor) launch(ctx context.Context, program Program) (*Process, error) {
	if program.Socket == "" {
		return launch(program, s.cfg.Dir)
	}
	p, err := summon(ctx, program)
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !errors.Is(err, fs.ErrNotExist): // without systemd there is no socket
		unit := unitName(program.Socket)
		s.cfg.Log.Warn("the worker runs in the agent's own sandbox, since its unit does not start", "unit", unit, "err", err,
			"remedy", fmt.Sprintf("systemctl restart %s.socket; if that does not help, journalctl -u '%s@*' tells more", unit, unit))
	}
	return launch(program, s.cfg.Dir)
}

func unitName(socket string) string { return strings.TrimSuffix(filepath.Base(socket), ".socket") }

// summon has systemd start a worker. It is another user's process, so it is ended by
// closing the connection.
func summon(ctx context.Context, program Program) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	conn, err := frame.Dial(ctx, program.Socket)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pipe: %w", err), conn.Close())
	}
	defer write.Close()
	p := newProcess(conn, program.Kind)
	p.Unit, p.grace = unitName(program.Socket), unitGrace
	p.kill = p.converse(read)
	end := -1
	if p.PID, err = p.Start(ctx, program.Argv[1:], write); err == nil {
		end, err = unix.PidfdOpen(p.PID, 0)
	}
	if err != nil {
		p.kill()
		close(p.ended) // nothing was shared with it
		_ = write.Close()
		p.work.Wait()
		return nil, fmt.Errorf("no worker answers at %s: %w", program.Socket, err)
	}
	go func() { // ends with the process; who needs to know waits for ended
		await(end)
		close(p.ended)
	}()
	return p, nil
}

// await waits until the kernel has let a process go, and closes its descriptor.
func await(pidfd int) {
	defer unix.Close(pidfd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
