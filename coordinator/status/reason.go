package status

import (
	"strings"

	"primespark/shared/health"
)

// A Reason is a condition of a node, of which gossip carries the code only, in
// the words of the page.
type Reason struct{ Title, Detail, Remedy string }

// explain puts a code of a node into words; one that is unknown is shown as it is.
func explain(code, node string) Reason {
	detail, remedy, _ := health.Explain(health.Code(code), node)
	return Reason{strings.ReplaceAll(code, "_", " "), detail, remedy}
}
