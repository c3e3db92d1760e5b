package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// Progress tells a person at a terminal what takes so long: once more than a
// second has passed, what and the seconds stand on one line of stderr, until stop
// is called, which wipes it. Without a terminal nothing is written.
func Progress(cmd *cobra.Command, what string) (stop func()) {
	return ProgressOf(cmd, func() string { return what })
}

// ProgressOf is Progress of what changes meanwhile, such as a part that is done.
func ProgressOf(cmd *cobra.Command, what func() string) (stop func()) {
	w := cmd.ErrOrStderr()
	if _, ok := terminal(w); !ok {
		return func() {}
	}
	return progress(w, what)
}

func progress(w io.Writer, what func() string) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() { // stop waits for it
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for seconds := 1; ; seconds++ {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "\r\x1b[K%s … %d s", Text(what()), seconds)
			case <-end:
				if seconds > 1 {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(end)
		<-ended
	})
}
