package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// PathBackup is where an admin posts for a backup.
const PathBackup = "/v1/backup"

// BackupRequest is the body of POST /v1/backup; it may be left out.
type BackupRequest struct {
	Recipient string `json:"recipient,omitempty"` // public key of age; that of the coordinators' configuration if empty
}

// BackupStatus is how the scheduled backups go.
type BackupStatus struct {
	At           time.Time `json:"at,omitzero"`            // when the last good one was made
	VerifiedAt   time.Time `json:"verified_at,omitzero"`   // when it had been restored on trial
	Node         string    `json:"node,omitempty"`         // the coordinator that has it
	Path         string    `json:"path,omitempty"`         // there
	Error        string    `json:"error,omitempty"`        // of the newest attempt; empty if that was the good one
	FailingSince time.Time `json:"failing_since,omitzero"` // if there is an error
}

// Backup has a coordinator make a backup and copies it to w, unchecked. It is
// encrypted to the recipient, or to the configured one if that is empty.
func (c *Client) Backup(ctx context.Context, recipient string, w io.Writer) error {
	body, err := json.Marshal(BackupRequest{recipient})
	if err != nil {
		return fmt.Errorf("encode the request of %s: %w", PathBackup, err)
	}
	res, err := c.open(ctx, call{
		method: http.MethodPost, path: PathBackup, body: body, header: http.Header{"Content-Type": {"application/json"}}, safe: true,
	})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("fetch the backup: %w", err)
	}
	return nil
}
