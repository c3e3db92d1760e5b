package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Fleet is the versions of the nodes, as the running agent hears of them.
type Fleet struct {
	Self   string   // this node
	Nodes  int      // that are alive; 0: it is not known
	Newest string   // release
	Behind []string // nodes with an older one
}

// Checks are those of the fleet.
func (f Fleet) Checks() []Check { return []Check{{"cluster", "versions", f.versions}} }

// shown is how many nodes a sentence names.
const shown = 5

func (f Fleet) versions(context.Context) []Result {
	const remedy = "prime-spark upgrade upgrades them one after the other; on one host, sudo apt update && sudo apt upgrade."
	switch n := len(f.Behind); {
	case f.Nodes == 0:
		return nil
	case n == 0:
		return One(OK, fmt.Sprintf("None of the %d nodes is behind the others", f.Nodes), "")
	case slices.Contains(f.Behind, f.Self):
		return One(Warning, fmt.Sprintf("This node runs an older version than others, which have %s; so do %d of %d.", f.Newest, n-1, f.Nodes), remedy)
	case n > shown:
		return One(Info, fmt.Sprintf("%s and %d more run an older version than %s.", strings.Join(f.Behind[:shown], ", "), n-shown, f.Newest), remedy)
	default:
		return One(Info, fmt.Sprintf("%s: older than %s.", strings.Join(f.Behind, ", "), f.Newest), remedy)
	}
}
