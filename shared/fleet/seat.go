package fleet

// A Seat is what a coordinator says of its place in the group. The numbers are
// rounded, so that what is as good as the same is not news.
type Seat struct {
	Behind  uint64  `json:"behind"`     // changes that are agreed on and that it has not carried out yet
	Contact int64   `json:"contact_ms"` // since it heard the leader; 0 on the leader, -1 for never
	Free    uint64  `json:"free_bytes"` // room on the disk under its state
	Write   float64 `json:"write_ms"`   // that the disk takes to make a small write last, as a rule
}
