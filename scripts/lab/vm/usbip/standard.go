package usbip

// Requests that every device answers (USB 2.0, table 9-4).
const (
	getStatus        = 0x00
	getDescriptor    = 0x06
	getConfiguration = 0x08
)

// Kinds of descriptors (USB 2.0, table 9-5).
const (
	ofDevice        = 1
	ofConfiguration = 2
	ofString        = 3
)

// An identity is how a device introduces itself; drivers go by vendor and product.
type identity struct {
	vendor, product uint16
	release         uint16 // in binary-coded decimals
	packet          byte   // bytes of a packet of endpoint 0
	name            string
	endpoints       []byte // their descriptors
	count           byte   // of them
}

// control answers what every device answers, and refuses the rest.
func (id identity) control(s Setup) ([]byte, error) {
	switch {
	case s.Type&kind != 0:
		return nil, ErrStall
	case s.Request == getDescriptor:
		return id.descriptor(byte(s.Value>>8), byte(s.Value))
	case s.Request == getStatus && s.Type&in != 0:
		return []byte{0, 0}, nil
	case s.Request == getConfiguration && s.Type&in != 0:
		return []byte{1}, nil
	case s.Type&in == 0:
		return nil, nil // an address, a configuration: there is one of each
	}
	return nil, ErrStall
}

func (id identity) descriptor(kind, n byte) ([]byte, error) {
	switch {
	case kind == ofDevice:
		d := []byte{18, ofDevice, 0x10, 0x01, 0xff, 0, 0, id.packet}
		d = le.AppendUint16(d, id.vendor)
		d = le.AppendUint16(d, id.product)
		d = le.AppendUint16(d, id.release)
		return append(d, 1, 2, 0, 1), nil // the strings of maker and product, no serial number, one configuration
	case kind == ofConfiguration:
		d := le.AppendUint16([]byte{9, ofConfiguration}, uint16(18+len(id.endpoints)))
		d = append(d, 1, 1, 0, 0x80, 50) // one interface; fed by the bus, 100 mA
		d = append(d, 9, 4, 0, 0, id.count, 0xff, 0, 0, 0)
		return append(d, id.endpoints...), nil
	case kind == ofString && n == 0:
		return []byte{4, ofString, 0x09, 0x04}, nil // in English
	case kind == ofString && n == 1:
		return text("Prime Spark lab"), nil
	case kind == ofString && n == 2:
		return text(id.name), nil
	}
	return nil, ErrStall
}

func text(s string) []byte {
	b := []byte{byte(2 + 2*len(s)), ofString}
	for _, c := range []byte(s) {
		b = append(b, c, 0)
	}
	return b
}
