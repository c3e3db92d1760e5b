package api

import (
	"fmt"
	"testing"
	"time"
)

func TestTries(t *testing.T) {
	var l tries
	for i := range maxWrong {
		if _, ok := l.take(fmt.Sprintf("192.0.2.1:%d", i), noon); !ok {
			t.Fatalf("try %d is refused", i)
		}
	}
	if wait, ok := l.take("192.0.2.1:7", noon.Add(20*time.Second)); ok || wait != 40*time.Second {
		t.Errorf("one too many: %v, wait %v", ok, wait)
	}
	if _, ok := l.take("192.0.2.2:1", noon); !ok {
		t.Error("another address is refused")
	}
	l.give("192.0.2.1:7")
	if _, ok := l.take("192.0.2.1:7", noon); !ok {
		t.Error("what was given back cannot be taken")
	}
	if _, ok := l.take("192.0.2.1:7", noon.Add(wrongWindow)); !ok {
		t.Error("the next minute is refused")
	}
}

// TestTriesOfMany: neither many addresses nor the many of one network get more tries.
func TestTriesOfMany(t *testing.T) {
	var one, many tries
	took := 0
	for i := range 4 * maxWrong {
		if _, ok := one.take(fmt.Sprintf("[2001:db8::%x]:1", i), noon); ok {
			took++
		}
	}
	if took != maxWrong {
		t.Errorf("%d tries of one network", took)
	}
	took = 0
	for i := range 4 * maxRemotes {
		if _, ok := many.take(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), noon); ok {
			took++
		}
	}
	if took != maxWrongAll || len(many.by) > maxRemotes {
		t.Errorf("%d tries of all, %d addresses kept", took, len(many.by))
	}
}
