package agent

import (
	"primespark/agent/config"
	"primespark/agent/power"
	"primespark/shared/problem"
)

// Explain tells why this node went down, each time that it did as far as its state
// directory remembers, the newest first. The agent may run or not.
func Explain(cfg config.Config) ([]power.Explanation, error) {
	book, err := power.OpenBook(cfg.StateDir, "")
	if err != nil {
		return nil, &problem.Error{
			Code: problem.Unexpected, Err: err, Detail: "What happened to the node's power cannot be read: " + err.Error() + ".",
			Remedy: "Run it with sudo. If the file is damaged, remove it: the agent begins another one.",
		}
	}
	return power.Explain(book.Entries()), nil
}
