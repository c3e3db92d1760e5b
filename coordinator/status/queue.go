package status

import "primespark/shared/task"

// A Queue is the task queue on the page.
type Queue struct {
	Counts [len(task.States)]int // by state, in the order of task.States
	Dead   []task.Task           // the first of them
}

// ShownDead is how many dead tasks the page has room for.
const ShownDead = 5

// A Tally is how many tasks are in a state.
type Tally struct {
	State task.State
	Count int
}

// Tone colours what wants somebody's attention.
func (t Tally) Tone() string {
	if t.State == task.Dead && t.Count > 0 {
		return "bad"
	}
	return ""
}

// Tallies are the states with their numbers, in the order of a task's life.
func (q Queue) Tallies() (all []Tally) {
	for i, s := range task.States {
		all = append(all, Tally{s, q.Counts[i]})
	}
	return all
}

// Empty reports whether there is no task at all.
func (q Queue) Empty() bool { return q.Counts == [len(task.States)]int{} }

// More is how many dead tasks are not shown.
func (q Queue) More() int {
	for _, t := range q.Tallies() {
		if t.State == task.Dead {
			return max(0, t.Count-len(q.Dead))
		}
	}
	return 0
}
