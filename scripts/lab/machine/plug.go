package machine

import "fmt"

// Unplug takes the host's cable out: not even raw packets pass.
func (h *Host) Unplug() error { _, err := tool("", "ip", "link", "set", h.space, "down"); return err }

// Plug puts the cable back.
func (h *Host) Plug() error { _, err := tool("", "ip", "link", "set", h.space, "up"); return err }

// Bare takes the host's own address away: a guest that has it brings its own kernel.
func (h *Host) Bare() error {
	_, err := tool("", "ip", "-netns", h.space, "address", "flush", "dev", "eth0")
	return err
}

// MTU sets the size of the largest packet that the cable takes, at both of its ends.
func (h *Host) MTU(bytes int) error {
	_, err := tool(fmt.Sprintf("link set dev eth0 mtu %d\n", bytes), "ip", "-netns", h.space, "-batch", "-")
	if err != nil {
		return err
	}
	_, err = tool(fmt.Sprintf("link set dev %s mtu %d\n", h.space, bytes), "ip", "-batch", "-")
	return err
}

// Tap gives the host's cable to a guest by a tap device, whose name it returns: one
// that does not take raw packets from an interface.
func (h *Host) Tap() (string, error) {
	const name = "tap0"
	_, err := tool("", "ip", "-netns", h.space, "tuntap", "add", name, "mode", "tap")
	if err == nil {
		_, err = tool("link add br0 type bridge\nlink set eth0 master br0\nlink set "+name+" master br0 up\nlink set br0 up\n", "ip", "-netns", h.space, "-batch", "-")
	}
	return name, err
}
