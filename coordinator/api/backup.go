package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/status"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// A Saver makes backups.
type Saver interface {
	// Save returns a verified, encrypted backup of the state, and its size in
	// bytes. An empty recipient leaves the choice of the public key to it.
	Save(s fsm.State, recipient string) (io.ReadCloser, int64, error)
}

// backupTime is how long a client may take to fetch a backup.
const backupTime = 10 * time.Minute

// backup sends all that was acknowledged up to now, with the cluster's keys.
func (a *API) backup(w http.ResponseWriter, r *call) error {
	var in wire.BackupRequest
	if r.ContentLength != 0 {
		if err := decode(r, &in); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if a.cfg.Backups == nil {
		return problem.New(problem.NotReady, "Ask another coordinator.", "This coordinator makes no backups.")
	}
	ctx, cancel := bounded(r)
	defer cancel()
	s, err := a.cfg.Group.Read(ctx)
	if err != nil {
		return err
	}
	file, size, err := a.cfg.Backups.Save(s, in.Recipient)
	if err != nil {
		return err
	}
	defer file.Close()
	err = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(backupTime))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("send the backup: %w", err)
	}
	label(w, s)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set("Content-Disposition", `attachment; filename="prime-spark-`+s.Cluster.Name+`.psb"`)
	w.Header().Set("Cache-Control", "no-store")
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("%w: %w", status.ErrGone, err)
	}
	return nil
}
