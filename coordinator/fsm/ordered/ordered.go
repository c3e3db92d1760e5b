// Package ordered is a map in the order of its keys that is never changed: each
// change makes another map, which shares all but a few nodes with the first. A
// state of 100,000 tasks is so copied for the price of one.
package ordered

import "iter"

// A Map is a balanced tree (AVL). The zero Map is empty. Copies are free, and
// may be read and written on from several goroutines.
type Map[V any] struct {
	root *node[V]
	len  int
}

type node[V any] struct {
	key         string
	value       V
	left, right *node[V]
	height      int8
}

// Len is how many keys there are.
func (m Map[V]) Len() int { return m.len }

// Get returns the value of a key.
func (m Map[V]) Get(key string) (v V, ok bool) {
	for n := m.root; n != nil; {
		switch {
		case key < n.key:
			n = n.left
		case key > n.key:
			n = n.right
		default:
			return n.value, true
		}
	}
	return v, false
}

// With returns the map with one more or another value.
func (m Map[V]) With(key string, v V) Map[V] {
	root, added := m.root.with(key, v)
	if added {
		m.len++
	}
	return Map[V]{root, m.len}
}

// Without returns the map without a key, which need not be there.
func (m Map[V]) Without(key string) Map[V] {
	root, found := m.root.without(key)
	if !found {
		return m
	}
	return Map[V]{root, m.len - 1}
}

// From runs through the map in the order of its keys, from the first that is not
// below from.
func (m Map[V]) From(from string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { m.root.walk(from, yield) }
}

func (n *node[V]) walk(from string, yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.key < from {
		return n.right.walk(from, yield)
	}
	return n.left.walk(from, yield) && yield(n.key, n.value) && n.right.walk(from, yield)
}

func (n *node[V]) with(key string, v V) (*node[V], bool) {
	if n == nil {
		return &node[V]{key: key, value: v, height: 1}, true
	}
	c, added := *n, false
	switch {
	case key < n.key:
		c.left, added = n.left.with(key, v)
	case key > n.key:
		c.right, added = n.right.with(key, v)
	default:
		c.value = v
		return &c, false
	}
	return c.balanced(), added
}

func (n *node[V]) without(key string) (*node[V], bool) {
	if n == nil {
		return nil, false
	}
	c, found := *n, false
	switch {
	case key < n.key:
		c.left, found = n.left.without(key)
	case key > n.key:
		c.right, found = n.right.without(key)
	case n.left == nil:
		return n.right, true
	case n.right == nil:
		return n.left, true
	default:
		next := n.right
		for next.left != nil {
			next = next.left
		}
		c.key, c.value, found = next.key, next.value, true
		c.right, _ = n.right.without(next.key)
	}
	if !found {
		return n, false
	}
	return c.balanced(), true
}

// balanced restores the balance of n, which nobody else has seen yet.
func (n *node[V]) balanced() *node[V] {
	switch d := n.left.tall() - n.right.tall(); {
	case d > 1:
		l := *n.left
		if l.left.tall() < l.right.tall() {
			r := *l.right
			l.right, r.left = r.left, &l
			l.grow()
			n.left, r.right = r.right, n
			n.grow()
			r.grow()
			return &r
		}
		n.left, l.right = l.right, n
		n.grow()
		l.grow()
		return &l
	case d < -1:
		r := *n.right
		if r.right.tall() < r.left.tall() {
			l := *r.left
			r.left, l.right = l.right, &r
			r.grow()
			n.right, l.left = l.left, n
			n.grow()
			l.grow()
			return &l
		}
		n.right, r.left = r.left, n
		n.grow()
		r.grow()
		return &r
	}
	n.grow()
	return n
}

func (n *node[V]) tall() int8 {
	if n == nil {
		return 0
	}
	return n.height
}

func (n *node[V]) grow() { n.height = 1 + max(n.left.tall(), n.right.tall()) }
