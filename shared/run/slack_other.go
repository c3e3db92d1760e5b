//go:build !linux

package run

import "time"

// Slack is Linux's alone.
const Slack = time.Millisecond

// Ease does nothing: only Linux has a slack of its timers.
func Ease(time.Duration) error { return nil }

// Punctual does nothing.
func Punctual() error { return nil }
