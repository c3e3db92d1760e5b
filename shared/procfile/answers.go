package procfile

import "time"

// answersFor is how long an answer holds.
const answersFor = 30 * time.Second

// Answers keeps what was found out about names in a file that is read often, such as
// whether a network interface is a device, so that each is looked at twice a minute
// at most. The zero value has none. It is for one goroutine.
type Answers struct {
	known map[string]bool
	until time.Time
}

// Ask returns what is known of a name, and asks look where nothing is.
func (a *Answers) Ask(now time.Time, name []byte, look func(string) bool) bool {
	if !now.Before(a.until) {
		a.known, a.until = map[string]bool{}, now.Add(answersFor)
	}
	is, known := a.known[string(name)]
	if !known {
		is = look(string(name))
		a.known[string(name)] = is
	}
	return is
}
