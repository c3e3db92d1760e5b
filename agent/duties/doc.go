// Package duties does this node's share of the fleet's tasks: it asks the
// coordinators for work, keeps the lease of what it was given while it works, and
// reports how it ended.
//
// Tasks are pulled, one at a time, and only while the node can do them and sees
// somebody of its cluster. A lease is counted by this process's monotonic clock
// from the moment at which it was asked for, so it ends here no later than at
// the coordinators: no task is begun in the last fifth of its lease, and one
// whose lease is over or has passed to another is dropped without a word. Whatever
// happens in here, the coordinators' fence decides: a report that comes too late
// is refused and changes nothing.
//
// A task that fails, or that makes an engine panic, is reported as failed; the
// node goes on with the next. When the node stops, work that does not end at once
// is given back, so that another node need not wait for the lease to run out.
package duties
