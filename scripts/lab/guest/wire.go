package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// A wire is a connection to QEMU's agent in the guest: lines of JSON, a command and
// an answer.
type wire struct {
	conn  net.Conn
	lines *bufio.Reader
}

// patience is how long an answer may take. Guests are slow, and this host may be.
const patience = 30 * time.Second

func dial(path string) (*wire, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &wire{conn, bufio.NewReader(conn)}, nil
}

type answer struct {
	Return json.RawMessage
	Error  *struct{ Desc string }
}

func (w *wire) next() (a answer, err error) {
	line, err := w.lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	return a, err
}

// call sends a command and decodes what comes back.
func (w *wire) call(command string, arguments, into any) error {
	line, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments})
	if err != nil {
		return err
	}
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := w.conn.Write(append(line, '\n')); err != nil {
		return err
	}
	for {
		a, err := w.next()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", command, err)
		case a.Error != nil:
			return fmt.Errorf("%s: %s", command, a.Error.Desc)
		case a.Return != nil && into != nil:
			return json.Unmarshal(a.Return, into)
		case a.Return != nil:
			return nil
		}
	}
}

// A beganError is one after the script was begun.
type beganError struct{ err error }

func (e *beganError) Error() string { return e.err.Error() }

// execIn has the guest's agent run a script.
func execIn(ctx context.Context, path, script string) (out string, code int, err error) {
	w, err := dial(path)
	if err != nil {
		return "", 0, err
	}
	defer w.conn.Close()
	if err := w.sync(); err != nil {
		return "", 0, err
	}
	var job struct{ PID int }
	if err := w.call("guest-exec", map[string]any{"path": "/bin/bash", "arg": []string{"-c", script}, "capture-output": true}, &job); err != nil {
		return "", 0, err
	}
	for {
		var s struct {
			Exited   bool
			ExitCode int    `json:"exitcode"`
			Signal   int    `json:"signal"`
			Data     []byte `json:"out-data"`
		}
		if err := w.call("guest-exec-status", map[string]any{"pid": job.PID}, &s); err != nil {
			return "", 0, &beganError{err}
		}
		if s.Exited {
			return string(s.Data), s.ExitCode + 128*min(1, s.Signal) + s.Signal, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return "", 0, &beganError{context.Cause(ctx)}
		}
	}
}

// sync finds the agent awake, and skips what it had to say to those before us.
func (w *wire) sync() error {
	if err := w.conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	id := time.Now().UnixNano() & (1<<52 - 1)
	if _, err := fmt.Fprintf(w.conn, "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%d}}\n", id); err != nil {
		return err
	}
	for {
		if _, err := w.lines.ReadBytes(0xff); err != nil {
			return err
		}
		a, err := w.next()
		if err != nil {
			return err
		}
		var got int64
		if err := json.Unmarshal(a.Return, &got); err != nil {
			return errors.Join(errors.New("guest-sync-delimited"), err)
		}
		if got == id {
			return nil
		}
	}
}
