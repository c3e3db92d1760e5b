package status

import (
	"fmt"
)

// A Notice is a sentence on the page.
type Notice struct {
	Tone string // a class of the stylesheet: quiet or bad
	Text string
}

// Backup says how the backups go; nil where nothing is known of any.
func (v View) Backup() *Notice {
	b := v.Status.Backup
	if b == nil {
		return nil
	}
	good := "No backup has succeeded yet"
	if !b.VerifiedAt.IsZero() {
		good = fmt.Sprintf("Last verified backup %s ago: %s on %s", span(v.At.Sub(b.VerifiedAt)), b.Path, b.Node)
	}
	if b.Error == "" {
		return &Notice{"quiet", good + "."}
	}
	return &Notice{"bad", fmt.Sprintf("Backups have failed for %s: %s. %s.", span(v.At.Sub(b.FailingSince)), b.Error, good)}
}
