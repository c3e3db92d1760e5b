package consensus

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger passes what raft has to say on to log, all of it as debug: raft
// repeats itself with each failed heartbeat. What an operator needs to know,
// the Node logs itself, once when it begins and once when it ends.
func raftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Off})
	l.RegisterSink(sink{log})
	return l
}

type sink struct{ log *slog.Logger }

// Accept makes one record of what hclog hands out.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	if level < hclog.Debug || !s.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	s.log.Debug(msg, append([]any{"from", "raft", "raft_level", level.String()}, args...)...)
}
