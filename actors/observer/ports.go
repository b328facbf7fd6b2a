package observer

import (
	"hash/fnv"
	"net"
	"strconv"

	"github.com/beamkeeper/beamkeeper/etf"
)

// port is a link or a listening socket as tools see it.
type port struct {
	id            etf.Port
	slot          int64
	what          string // for people
	local, remote net.Addr
	in, out       int64
	queued        int64
	listening     bool
}

// ports lists the links, then the listening sockets.
func (b *Observer) ports() []port {
	var all []port
	add := func(key string, p port) {
		// The number follows from what it is, so that it stays the same from one list to the next.
		h := fnv.New32a()
		h.Write([]byte(key))
		p.slot = int64(h.Sum32() & 0xffffff)
		p.id = etf.Port{Node: b.self(), ID: uint64(p.slot), Creation: b.node.Creation()}
		all = append(all, p)
	}
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: b.node.Port()}
	for _, p := range b.node.Peers() {
		remote, _ := net.ResolveTCPAddr("tcp", p.Addr) // an address of numbers
		link := port{what: "link to " + p.Name.String(), in: int64(p.BytesIn), out: int64(p.BytesOut), queued: int64(p.Queued)}
		if remote != nil {
			link.remote = remote
		}
		if p.Inbound {
			link.local = local
		}
		add("link "+p.Name.String()+strconv.FormatInt(p.Since.UnixNano(), 10), link)
	}
	if b.node.Port() != 0 {
		add("distribution", port{what: "distribution", local: local, listening: true})
	}
	if b.opts.Listeners != nil {
		for _, l := range b.opts.Listeners() {
			add("listener "+l.Name+l.Addr.String(), port{what: l.Name, local: l.Addr, listening: true})
		}
	}
	return all
}

// owner is the process that a port is connected to.
func (b *Observer) owner() etf.Pid {
	if p := b.node.Whereis("net_kernel"); p != nil {
		return p.Pid()
	}
	return b.master.Pid()
}

func (p *port) driver() string {
	if p.unix() {
		return "unix_inet"
	}
	return "tcp_inet"
}

func (p *port) unix() bool {
	_, ok := p.local.(*net.UnixAddr)
	return ok
}

// info is erlang:port_info/1.
func (b *Observer) info(p port) etf.List {
	return etf.List{
		pair("name", str(p.driver())), pair("links", etf.List{b.owner()}), pair("id", p.slot), pair("connected", b.owner()),
		pair("input", p.in), pair("output", p.out), pair("os_pid", undefined), pair("registered_name", atomOf(p.what)),
	}
}

var portExtra = []etf.Atom{"monitors", "monitored_by", "parallelism", "locking", "queue_size", "memory"}

func (b *Observer) portItem(p port, item etf.Term) (etf.Term, bool) {
	for _, t := range b.info(p) {
		if t := t.(etf.Tuple); t[0] == item {
			return t[1], true
		}
	}
	switch item {
	case etf.Term(etf.Atom("monitors")), etf.Term(etf.Atom("monitored_by")):
		return etf.List{}, true
	case etf.Term(etf.Atom("parallelism")):
		return true, true
	case etf.Term(etf.Atom("locking")):
		return etf.Atom("port_level"), true
	case etf.Term(etf.Atom("queue_size")):
		return p.queued, true
	case etf.Term(etf.Atom("memory")):
		return p.queued, true
	}
	return nil, false
}

func (b *Observer) portInfo(args []etf.Term) (etf.Term, error) {
	id, ok := args[0].(etf.Port)
	if !ok {
		return nil, errBadarg
	}
	for _, p := range b.ports() {
		if p.id != id {
			continue
		}
		if len(args) == 1 {
			return b.info(p), nil
		}
		v, ok := b.portItem(p, args[1])
		if !ok {
			return nil, errBadarg
		}
		return etf.Tuple{args[1], v}, nil
	}
	return undefined, nil
}

// portList is observer_backend:get_port_list/0.
func (b *Observer) portList() etf.List {
	all := etf.List{}
	for _, p := range b.ports() {
		l := append(etf.List{pair("port_id", p.id)}, b.info(p)...)
		for _, item := range portExtra {
			if v, ok := b.portItem(p, item); ok {
				l = append(l, pair(item, v))
			}
		}
		inet := etf.List{pair("statistics", etf.List{pair("recv_oct", p.in), pair("send_oct", p.out), pair("send_pend", p.queued)})}
		inet = append(inet, address("remote", p.remote)...)
		inet = append(inet, address("local", p.local)...)
		inet = append(inet, pair("options", etf.List{pair("packet", 4), pair("nodelay", true)}))
		all = append(all, append(l, pair("inet", inet)))
	}
	return all
}

// address gives {SIDE_address, Addr} and {SIDE_port, Port}.
func address(side string, a net.Addr) etf.List {
	switch a := a.(type) {
	case *net.TCPAddr:
		return etf.List{pair(etf.Atom(side+"_address"), ipTuple(a.IP)), pair(etf.Atom(side+"_port"), a.Port)}
	case *net.UnixAddr:
		return etf.List{pair(etf.Atom(side+"_address"), str(a.Name))}
	}
	return nil
}

func ipTuple(ip net.IP) etf.Term {
	if v4 := ip.To4(); v4 != nil {
		return etf.Tuple{int(v4[0]), int(v4[1]), int(v4[2]), int(v4[3])}
	}
	v6 := ip.To16()
	if v6 == nil {
		return etf.Tuple{0, 0, 0, 0, 0, 0, 0, 0}
	}
	t := etf.Tuple{}
	for i := 0; i < 16; i += 2 {
		t = append(t, int(v6[i])<<8|int(v6[i+1]))
	}
	return t
}

func addrString(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.String() + " : " + strconv.Itoa(a.Port)
	case nil:
		return ""
	default:
		return a.String()
	}
}

// socketList is observer_backend:get_socket_list/0.
func (b *Observer) socketList() etf.List {
	all := etf.List{}
	for _, p := range b.ports() {
		domain, protocol := etf.Atom("inet"), etf.Atom("tcp")
		if p.unix() {
			domain, protocol = "local", "default"
		} else if a, ok := p.local.(*net.TCPAddr); ok && a.IP.To4() == nil {
			domain = "inet6"
		}
		state := etf.Atom("connected")
		if p.listening {
			state = "listening"
		}
		m := etf.Map{
			{Key: etf.Atom("id"), Value: p.id},
			{Key: etf.Atom("id_str"), Value: str("#Socket<" + p.what + ">")},
			{Key: etf.Atom("kind"), Value: etf.Atom("plain")},
			{Key: etf.Atom("fd"), Value: -1},
			{Key: etf.Atom("owner"), Value: b.owner()},
			{Key: etf.Atom("domain"), Value: domain},
			{Key: etf.Atom("type"), Value: etf.Atom("stream")},
			{Key: etf.Atom("protocol"), Value: protocol},
			{Key: etf.Atom("rstates"), Value: etf.List{state}},
			{Key: etf.Atom("wstates"), Value: etf.List{state}},
			{Key: etf.Atom("monitored_by"), Value: etf.List{}},
			{Key: etf.Atom("statistics"), Value: etf.List{pair("read_byte", p.in), pair("write_byte", p.out)}},
			{Key: etf.Atom("options"), Value: etf.List{}},
		}
		if p.local != nil {
			m = append(m, etf.MapPair{Key: etf.Atom("laddress"), Value: str(addrString(p.local))})
		}
		if p.remote != nil {
			m = append(m, etf.MapPair{Key: etf.Atom("raddress"), Value: str(addrString(p.remote))})
		}
		all = append(all, m)
	}
	return all
}

// socketInfo is observer_backend:socket_info/0.
func (b *Observer) socketInfo() etf.List {
	var local, inet, inet6 int
	ports := b.ports()
	for _, p := range ports {
		switch a := p.local.(type) {
		case *net.UnixAddr:
			local++
		case *net.TCPAddr:
			if a.IP.To4() == nil {
				inet6++
			} else {
				inet++
			}
		default:
			inet++
		}
	}
	n := len(ports)
	return etf.List{
		pair("iov_max", 1024), pair("num_monitors", 0), pair("num_cnt_bits", 64), pair("num_sockets", n),
		pair("num_dlocal", local), pair("num_dinet", inet), pair("num_dinet6", inet6),
		pair("num_tstreams", n), pair("num_tdgrams", 0), pair("num_tseqpkgs", 0),
		pair("num_pip", 0), pair("num_psctp", 0), pair("num_ptcp", inet+inet6), pair("num_pudp", 0),
	}
}
