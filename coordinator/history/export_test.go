package history

// Order puts what came in order now.
func (s *Store) Order() { s.order() }

// Sealed is the number of the last row that was put in order.
func (s *Store) Sealed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed
}
