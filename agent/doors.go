package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/shared/identity"
	"primespark/shared/netlimit"
	"primespark/shared/problem"
)

// crowd is how many connections the cluster may have here: each coordinator keeps a
// few, and neighbours do while there is none.
var crowd = netlimit.Limits{All: 2048, Host: 256}

// open opens the listeners of the API: the socket and loopback for this host's
// own programs, and HTTPS for the cluster once the node is a member (id not nil).
func open(ctx context.Context, cfg config.HTTP, id *identity.Identity, out Outside, log *slog.Logger) (all []api.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	if cfg.Socket != "" {
		l, err := socket(ctx, cfg.Socket, out)
		if err != nil {
			return all, err
		}
		all = append(all, api.Listener{Listener: l})
	}
	if cfg.Loopback != "" {
		l, err := out.Listen(ctx, "tcp", cfg.Loopback)
		if err != nil {
			return all, inUse("http.loopback", cfg.Loopback, err)
		}
		all = append(all, api.Listener{Listener: l})
	}
	if id != nil {
		l, err := out.Listen(ctx, "tcp", cfg.Listen)
		if err != nil {
			return all, inUse("http.listen", cfg.Listen, err)
		}
		l = netlimit.Listen(l, crowd, log)
		all = append(all, api.Listener{Listener: l, TLS: id.ServerTLS(tls.VerifyClientCertIfGiven), Authorize: member(id)})
	}
	if len(all) == 0 {
		return nil, problem.New(problem.Invalid, "Set http.socket or http.loopback, or join a cluster with prime-spark-agent join.",
			"There is nobody to serve: the node belongs to no cluster, and neither a socket nor a loopback address is configured.")
	}
	return all, nil
}

// closeAll closes what the API has not closed by running.
func closeAll(doors []api.Listener) {
	for _, l := range doors {
		_ = l.Close() // closing twice is no fault, and nothing is lost with a listener
	}
}

// addresses are where the doors are, for the log.
func addresses(doors []api.Listener) []string {
	var all []string
	for _, l := range doors {
		all = append(all, l.Addr().Network()+":"+l.Addr().String())
	}
	return all
}

// member lets in the nodes of this cluster. The handshake has checked their
// certificate, if they showed one; whether they were revoked since is asked anew.
func member(id *identity.Identity) func(*http.Request) error {
	return func(r *http.Request) error {
		if _, err := id.Admitted(r.TLS); err != nil {
			return &problem.Error{
				Code: problem.Unauthorized, Err: err,
				Detail: "This agent answers the nodes of its cluster only.",
				Remedy: "Ask a coordinator instead, which passes the request on; programs on the agent's host use its socket.",
			}
		}
		return nil
	}
}

// socket listens on a Unix socket. A file that a crashed agent left is replaced;
// one on which an agent answers is not.
func socket(ctx context.Context, path string, out Outside) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, &problem.Error{
			Code: problem.Invalid, Err: err, Detail: "The directory of the socket " + path + " cannot be made.",
			Remedy: `Set http.socket to a path where this user may write, or to "" for none.`,
		}
	}
	l, err := out.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := abandoned(ctx, path, err); err != nil {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace the old socket: %w", err)
		}
		l, err = out.Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, inUse("http.socket", path, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("set the mode of the socket: %w", err), l.Close())
	}
	return l, nil
}

// abandoned returns nil if what keeps path is a socket on which nobody listens,
// and otherwise why it is not to be removed. cause is what listening said.
func abandoned(ctx context.Context, path string, cause error) error {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return &problem.Error{
			Code: problem.Conflict, Err: cause, Detail: "The agent cannot listen on " + path + ": there is a file that is no socket.",
			Remedy: "Move that file away, or choose another path with http.socket.",
		}
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(inUse("http.socket", path, cause), c.Close())
	case !errors.Is(err, syscall.ECONNREFUSED): // not ours to reach: somebody may listen all the same
		return inUse("http.socket", path, errors.Join(cause, err))
	}
	return nil
}

// inUse words an address that cannot be listened on.
func inUse(key, address string, err error) error {
	remedy := "Choose another one with " + key + "."
	if errors.Is(err, syscall.EADDRINUSE) {
		remedy = "Stop the program that uses it (another agent?), or choose another one with " + key + "."
	}
	return &problem.Error{Code: problem.Conflict, Err: err, Detail: "The agent cannot listen on " + address + ".", Remedy: remedy}
}
