//go:build linux

package device

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is that of our firewall (nft list table inet prime-spark-mesh).
const tableName = "prime-spark-mesh"

// Where things are in packets: offset and length in bytes (RFC 8200 section 3, RFC
// 791 section 3.1, RFC 9293 section 3.1, RFC 4443 section 2.1).
var (
	source6      = expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 16, DestRegister: 1}
	destination6 = expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16, DestRegister: 1}
	source4      = expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4, DestRegister: 1}
	destination4 = expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4, DestRegister: 1}
	port         = expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: 1}
	icmpType     = expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1, DestRegister: 1}
	tcpFlags     = expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1, DestRegister: 1}
)

// firewall replaces our table by one that says what s does, in one transaction. It
// is left alone if that is what was installed last and it is still there.
//
// In: what answers to this host's own connections; echo and the errors of ICMP;
// whatever the grants name. Nothing else by our links, and nothing that claims an
// address of the overlay by another interface. Through: on hubs between members,
// and never anywhere else. Segments of TCP are told the size that fits.
func (m *Manager) firewall(s State) error {
	if len(s.Prefixes) == 0 {
		return m.removeFirewall() // there is nothing to keep anybody from
	}
	text := fmt.Sprintf("%v %v %v %v", s.Firewall, s.Prefixes, s.Forward, m.cfg.Stem)
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	there, err := m.haveFirewall(c)
	if err != nil {
		return err
	}
	if there && text == m.fw {
		return nil
	}
	if there {
		c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	}
	b := rules{c: c, table: c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}), stem: m.cfg.Stem}
	b.input(s)
	b.forward(s)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("install the firewall of the mesh (nftables): %w; the kernel needs nf_tables with conntrack", err)
	}
	m.fw = text
	return nil
}

func (m *Manager) haveFirewall(c *nftables.Conn) (bool, error) {
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("list the firewall's tables: %w", err)
	}
	for _, t := range tables {
		if t.Name == tableName {
			return true, nil
		}
	}
	return false, nil
}

func (m *Manager) removeFirewall() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	there, err := m.haveFirewall(c)
	if err != nil || !there {
		return err
	}
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove the firewall of the mesh: %w", err)
	}
	m.fw = ""
	return nil
}

// rules builds the chains of one table.
type rules struct {
	c     *nftables.Conn
	table *nftables.Table
	stem  string
}

func (b rules) chain(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return b.c.AddChain(&nftables.Chain{Name: name, Table: b.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority, Policy: &accept})
}

func (b rules) add(chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	b.c.AddRule(&nftables.Rule{Table: b.table, Chain: chain, Exprs: all})
}

func (b rules) input(s State) {
	in := b.chain("input", nftables.ChainHookInput, nftables.ChainPriorityFilter)
	for _, p := range s.Prefixes {
		b.add(in, b.notBy(expr.MetaKeyIIFNAME), is(p, true), notLoopback, drop)
	}
	b.add(in, b.notBy(expr.MetaKeyIIFNAME), accept)
	b.add(in, established, accept)
	for _, t := range []byte{1, 2, 3, 4, 128} { // unreachable, too big, time exceeded, parameter problem, echo request
		b.add(in, protocolIs(unix.IPPROTO_ICMPV6), equals(icmpType, t), b.members(s, true), accept)
	}
	for _, t := range []byte{3, 8, 11, 12} { // the same of IPv4
		b.add(in, protocolIs(unix.IPPROTO_ICMP), equals(icmpType, t), accept)
	}
	for _, g := range s.Firewall {
		for _, from := range g.From {
			for _, p := range g.TCP {
				b.add(in, is(from, true), protocolIs(unix.IPPROTO_TCP), portIs(p), accept)
			}
			for _, p := range g.UDP {
				b.add(in, is(from, true), protocolIs(unix.IPPROTO_UDP), portIs(p), accept)
			}
		}
	}
	b.add(in, count, drop)
}

func (b rules) forward(s State) {
	through := b.chain("forward", nftables.ChainHookForward, nftables.ChainPriorityFilter)
	b.add(through, b.by(expr.MetaKeyOIFNAME), fitting)
	if s.Forward {
		for _, p := range s.Prefixes {
			b.add(through, b.by(expr.MetaKeyIIFNAME), b.by(expr.MetaKeyOIFNAME), is(p, true), is(p, false), accept)
		}
	}
	b.add(through, b.by(expr.MetaKeyIIFNAME), count, drop)
	b.add(through, b.by(expr.MetaKeyOIFNAME), count, drop)
	out := b.chain("output", nftables.ChainHookOutput, nftables.ChainPriorityMangle)
	b.add(out, b.by(expr.MetaKeyOIFNAME), fitting)
}

// members matches addresses of the overlay's IPv6 prefix; everything without one.
func (b rules) members(s State, from bool) []expr.Any {
	for _, p := range s.Prefixes {
		if p.Addr().Is6() {
			return is(p, from)
		}
	}
	return nil
}

// by matches interfaces whose names begin with our stem; notBy all others.
func (b rules) by(key expr.MetaKey) []expr.Any    { return b.name(key, expr.CmpOpEq) }
func (b rules) notBy(key expr.MetaKey) []expr.Any { return b.name(key, expr.CmpOpNeq) }

func (b rules) name(key expr.MetaKey, op expr.CmpOp) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte(b.stem)}}
}

var (
	accept      = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	drop        = []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	count       = []expr.Any{&expr.Counter{}}
	notLoopback = []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte("lo\x00")}}
	established = []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
	// fitting has the first packets of a TCP connection name no larger segments than
	// the route takes (tcp option maxseg size set rt mtu).
	fitting = []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&tcpFlags,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x06}, Xor: []byte{0}}, // SYN, RST
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x02}},
		&expr.Rt{Register: 1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: 1, Type: 2, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt},
	}
)

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func protocolIs(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{p}}}
}

func portIs(p uint16) []expr.Any {
	return []expr.Any{&port, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, p)}}
}

func equals(where expr.Payload, value byte) []expr.Any {
	return []expr.Any{&where, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{value}}}
}

// is matches packets from a prefix, or to it.
func is(p netip.Prefix, from bool) []expr.Any {
	where, proto := source6, byte(unix.NFPROTO_IPV6)
	switch {
	case p.Addr().Is4() && from:
		where, proto = source4, unix.NFPROTO_IPV4
	case p.Addr().Is4():
		where, proto = destination4, unix.NFPROTO_IPV4
	case !from:
		where = destination6
	}
	mask := make([]byte, where.Len)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&where,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: where.Len, Mask: mask, Xor: make([]byte, where.Len)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}
