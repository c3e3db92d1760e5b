package watch_test

import (
	"fmt"

	"primespark/shared/watch"
)

func ExampleValue() {
	v := watch.New("no leader")
	_, changed := v.Load()
	v.Store("leader is c2")
	<-changed
	now, _ := v.Load()
	fmt.Println(now)
	// Output: leader is c2
}
