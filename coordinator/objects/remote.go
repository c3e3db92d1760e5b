package objects

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A Remote is another coordinator, over HTTPS.
type Remote struct {
	Coordinator string       // its name, which stands for the host: the client finds it
	Client      *http.Client // mutual TLS with the coordinator of that name, and with no other
}

var _ Peer = Remote{}

// Name is the coordinator's.
func (r Remote) Name() string { return r.Coordinator }

// maxAnswer bounds what is read of an answer that is no object, in bytes.
const maxAnswer = 256 << 10

func (r Remote) do(ctx context.Context, method, path string, size int64, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+r.Coordinator+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask coordinator %s: %w", r.Coordinator, err)
	}
	req.ContentLength = size
	res, err := r.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask coordinator %s: %w", r.Coordinator, err)
	}
	if res.StatusCode < 400 {
		return res, nil
	}
	defer res.Body.Close()
	// A body that breaks off is read as far as it goes: the status has said enough.
	b, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return nil, problem.Read(res.StatusCode, res.Header, b)
}

// Push is that of Peer.
func (r Remote) Push(ctx context.Context, o task.Object, data io.Reader) error {
	// The client closes what it sends, and the file is its owner's.
	res, err := r.do(ctx, http.MethodPut, wire.ObjectPath(o.SHA256), o.Size, io.NopCloser(data))
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Pull is that of Peer.
func (r Remote) Pull(ctx context.Context, sha string) (io.ReadCloser, error) {
	res, err := r.do(ctx, http.MethodGet, wire.ObjectPath(sha)+"?local=1", 0, nil)
	if problem.Is(err, problem.NotFound) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return res.Body, nil // bounded by who keeps it
}

// Missing is that of Peer.
func (r Remote) Missing(ctx context.Context, shas []string) ([]string, error) {
	b, err := json.Marshal(wire.MissingBody{Objects: shas})
	if err != nil {
		return nil, fmt.Errorf("encode the names of objects: %w", err)
	}
	res, err := r.do(ctx, http.MethodPost, wire.PathMissing, int64(len(b)), bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer wire.MissingBody
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("ask coordinator %s what it lacks: %w", r.Coordinator, err)
	}
	return answer.Objects, nil
}
