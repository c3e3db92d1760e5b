package run_test

import (
	"context"
	"errors"
	"fmt"

	"primespark/shared/run"
)

func ExampleAll() {
	err := run.All(context.Background(),
		run.Func("clock", func(ctx context.Context) error { <-ctx.Done(); return nil }),
		run.Func("disk", func(context.Context) error { return errors.New("no space left") }),
	)
	fmt.Println(err)
	// Output: disk: no space left
}
