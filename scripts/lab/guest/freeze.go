package guest

import "syscall"

// Freeze stops the machine, clocks and all, as when a hypervisor suspends it: it
// wakes in the past. Thaw lets it go on.
func (m *Emulated) Freeze() error { return qmp(m.path("qmp"), "stop") }

// Thaw lets a frozen machine go on.
func (m *Emulated) Thaw() error { return qmp(m.path("qmp"), "cont") }

// Doze stops the machine while its clocks go on; Wake lets it go on.
func (m *Emulated) Doze() error { return m.signal(syscall.SIGSTOP) }

// Wake lets a dozing machine go on.
func (m *Emulated) Wake() error { return m.signal(syscall.SIGCONT) }

// qmp tells QEMU something.
func qmp(path, command string) error {
	w, err := dial(path)
	if err != nil {
		return err
	}
	defer w.conn.Close()
	if err := w.call("qmp_capabilities", struct{}{}, nil); err != nil {
		return err
	}
	return w.call(command, struct{}{}, nil)
}
