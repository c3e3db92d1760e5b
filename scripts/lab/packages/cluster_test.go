package packages_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
)

// clusterEnv has TestCluster run.
const clusterEnv = "PRIME_SPARK_VM_CLUSTER"

// TestCluster: three coordinators and two agents as machines of their own, one of
// them on Debian's own kernel in QEMU. Through each fault the fleet answers about a
// photo, and no task is lost: a power cut of the leader, a machine that stops while
// its clocks go on, one that stops with its clocks, a cut cable, and an upgrade of
// one after the other.
//
//	make vm-cluster
func TestCluster(t *testing.T) {
	if os.Getenv(clusterEnv) == "" {
		t.Skip("a cluster of machines is booted by make vm-cluster")
	}
	r := begin(t, guest.MissingFor("amd64")...)
	old, fresh := build(t, "0.0.1", "amd64"), build(t, "0.0.2", "amd64")
	ctx, cancel := context.WithTimeout(t.Context(), 75*time.Minute)
	defer cancel()
	lan := network(ctx, t, r, "bookworm")
	c := &cluster{site: site{t: t}, ctx: ctx, began: time.Now()}
	c1, c2 := c.add(lan, "c1"), c.add(lan, "c2")
	c3, err := lan.Emulated(ctx, "c3", "bookworm", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	c.machines = append(c.machines, c3)
	a1, a2 := c.add(lan, "a1"), c.add(lan, "a2")
	c.coordinators = []guest.Box{c1, c2, c3}
	c.each(func(m guest.Box) error {
		if err := m.Boot(ctx); err != nil {
			return err
		}
		return settled(ctx, m)
	})
	c.each(func(m guest.Box) error {
		if m == guest.Box(a1) || m == guest.Box(a2) {
			return install(ctx, m, old, "prime-spark-agent")
		}
		if err := install(ctx, m, old, "prime-spark-coordinator", "prime-spark-cli"); err != nil {
			return err
		}
		// A machine that is emulated is too slow for the timing of a LAN.
		_, err := m.Sh(ctx, `printf 'raft:\n  profile: wan\n' >/etc/prime-spark/coordinator.yaml`)
		return err
	})
	c.found(c1)
	photo := "../../../shared/testphoto/astronaut.jpg"
	for _, m := range c.coordinators {
		if m != guest.Box(c1) {
			c.sh(m, "echo '"+c.code(c1, "coordinator")+"' | prime-spark-coordinator join --code-file - && systemctl start prime-spark-coordinator")
			c.within(c1, patience, "prime-spark node "+m.String()+" --json | grep -q '\"liveness\": \"alive\"'")
			// Its operator is the same, and asks the coordinator on its own host.
			c.sh(m, "mkdir -p /root && echo '"+c.sh(c1, "cat /root/token")+"' >/root/token && cp /var/lib/prime-spark/coordinator/identity/ca.crt /root/ca.crt")
			c.within(m, patience, "prime-spark login --server https://"+c.address(m)+":7480 --ca-file /root/ca.crt --token-file /root/token")
		}
		if err := m.Put(photo, "photo.jpg"); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []*guest.Machine{a1, a2} {
		c.sh(m, "echo '"+c.code(c1, "agent")+"' | prime-spark-agent join --code-file - && systemctl restart prime-spark-agent")
		c.alive(c1, patience, m.Name)
	}
	c.answers("three coordinators and two agents")

	c.fault("without the leader's power", c.leader(), guest.Box.CutPower, func(m guest.Box) error { return m.Boot(ctx) })
	c.fault("while the leader stands still and its clocks go on", c.leader(), doze, wake)
	c.fault("without the leader's cable", c.leader(), guest.Box.Unplug, guest.Box.Plug)

	// One that stops together with its clocks, as a leader if it comes to lead.
	leader := c.leader()
	for range 4 {
		if leader == guest.Box(c3) {
			break
		}
		c.sh(leader, "systemctl restart prime-spark-coordinator")
		c.whole()
		leader = c.leader()
	}
	c.fault("while c3 is frozen, clocks and all, and "+leader.String()+" led", c3,
		func(guest.Box) error { return c3.Freeze() }, func(guest.Box) error { return c3.Thaw() })

	// An upgrade, the leader last. Tasks that wait for it are done after it.
	leader = c.leader()
	order := []guest.Box{a1, a2}
	for _, m := range c.coordinators {
		if m != leader {
			order = append(order, m)
		}
	}
	for _, m := range append(order, leader) {
		names := []string{"prime-spark-coordinator", "prime-spark-cli"}
		if m == guest.Box(a1) || m == guest.Box(a2) {
			names = []string{"prime-spark-agent"}
		}
		c.submit()
		c.must(install(ctx, m, fresh, names...))
		c.whole()
		c.answers("after the upgrade of " + m.String())
	}
	c.within(c1, patience, fmt.Sprintf("[ $(prime-spark tasks list --state done --json | grep -c '\"id\"') = %d ]", c.tasks))
	if got := c.sh(c1, "prime-spark status --json | grep '\"outdated\"' || true"); got != "" {
		t.Errorf("behind after the upgrade: %s", got)
	}
	t.Logf("all %d tasks are done", c.tasks)
	for _, m := range c.machines {
		c.purge(ctx, m)
	}
}

// A cluster is a site with coordinators.
type cluster struct {
	site
	ctx          context.Context
	began        time.Time
	coordinators []guest.Box
	tasks        int // that were submitted
}

// submit leaves a task with the leader.
func (c *cluster) submit() {
	c.t.Helper()
	c.sh(c.leader(), "prime-spark tasks submit /lab/photo.jpg --model blazeface")
	c.tasks++
}

// fault has something happen to a machine, with a task in the queue: the others answer,
// and afterwards all are there again.
func (c *cluster) fault(when string, m guest.Box, begin, end func(guest.Box) error) {
	c.t.Helper()
	c.submit()
	c.must(begin(m))
	c.answers(when+" ("+m.String()+")", m)
	c.must(end(m))
	c.whole()
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) address(m guest.Box) string {
	switch m := m.(type) {
	case *guest.Machine:
		return m.Address
	case *guest.Emulated:
		return m.Address
	}
	return ""
}

// answers waits until each coordinator but those out of order has a face found, and
// logs how long that took.
func (c *cluster) answers(when string, without ...guest.Box) {
	c.t.Helper()
	begin := time.Now()
	for _, m := range c.coordinators {
		if len(without) == 0 || m != without[0] {
			c.within(m, patience, "prime-spark infer /lab/photo.jpg --model blazeface | grep -q face")
		}
	}
	c.t.Logf("%5.0f s: %s: a face is found after %.1f s", time.Since(c.began).Seconds(), when, time.Since(begin).Seconds())
}

// whole waits until each coordinator sees all nodes alive.
func (c *cluster) whole() {
	c.t.Helper()
	for _, m := range c.coordinators {
		for _, name := range []string{"c1", "c2", "c3", "a1", "a2"} {
			c.within(m, patience, "prime-spark node "+name+" --json | grep -q '\"liveness\": \"alive\"'")
		}
	}
}

// leader is the machine of the coordinator that leads.
func (c *cluster) leader() guest.Box {
	c.t.Helper()
	const ask = `prime-spark status --json | sed -n 's/^  "leader": "\(.*\)",/\1/p' | grep .`
	c.within(c.coordinators[0], patience, ask)
	name := c.sh(c.coordinators[0], ask)
	for _, m := range c.coordinators {
		if strings.TrimSpace(name) == m.String() {
			return m
		}
	}
	c.t.Fatalf("%q leads", name)
	return nil
}

// doze stops a machine, whose clocks go on.
func doze(m guest.Box) error {
	switch m := m.(type) {
	case *guest.Machine:
		return m.Freeze()
	case *guest.Emulated:
		return m.Doze()
	}
	return fmt.Errorf("%v cannot doze", m)
}

func wake(m guest.Box) error {
	switch m := m.(type) {
	case *guest.Machine:
		return m.Thaw()
	case *guest.Emulated:
		return m.Wake()
	}
	return fmt.Errorf("%v cannot wake", m)
}
