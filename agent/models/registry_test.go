package models_test

import (
	"context"
	"testing"
)

func contextFor(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}
