//! Which addresses an upstream may have. Checked on the address that is connected to,
//! after DNS, so a name cannot smuggle a private one in. Cloud metadata addresses are
//! never allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The policy of this server.
#[derive(Debug, Clone, Copy)]
pub struct AddressPolicy {
    /// Whether loopback is allowed for every upstream (`mock`, `demo`).
    pub loopback_always: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Loopback,
    Private,
    Never,
}

impl AddressPolicy {
    /// Whether an upstream may be connected to at this address.
    pub fn permits(self, address: IpAddr, allow_private_network: bool) -> bool {
        match kind(address) {
            Kind::Public => true,
            Kind::Loopback => allow_private_network || self.loopback_always,
            Kind::Private => allow_private_network,
            Kind::Never => false,
        }
    }
}

/// Whether this address is allowed with no setting at all.
pub fn is_never_allowed(address: IpAddr) -> bool {
    matches!(kind(address), Kind::Never)
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        (127, ..) => Kind::Loopback,
        // Link-local with the metadata service, "this network", Alibaba's metadata service,
        // protocol assignments, multicast and reserved.
        (169, 254, ..) | (0 | 224..=255, ..) | (100, 100, 100, 200) | (192, 0, 0, _) => Kind::Never,
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) | (100, 64..=127, ..) | (198, 18..=19, ..) => {
            Kind::Private
        }
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if let Some(embedded) = embedded_v4(address) {
        return kind_v4(embedded);
    }
    let first = address.segments()[0];
    if address.is_loopback() {
        Kind::Loopback
    } else if address.is_unspecified() || first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00 {
        Kind::Never
    } else if first == 0x2001 && address.segments()[1] == 0 || address.segments()[..3] == [0x64, 0xff9b, 1] {
        // Teredo and local NAT64: they hold an IPv4 address that cannot be judged here.
        Kind::Never
    } else if address.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] {
        // AWS's metadata service.
        Kind::Never
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 {
        Kind::Private
    } else {
        Kind::Public
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let join = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVE: AddressPolicy = AddressPolicy { loopback_always: false };
    const MOCK: AddressPolicy = AddressPolicy { loopback_always: true };

    #[test]
    fn table() {
        // address, plainly, with --allow-private-network, plainly under mock
        for (address, plain, private, mock) in [
            ("93.184.216.34", true, true, true),
            ("2606:2800:220:1::1", true, true, true),
            ("127.0.0.1", false, true, true),
            ("127.8.9.1", false, true, true),
            ("::1", false, true, true),
            ("::ffff:127.0.0.1", false, true, true),
            ("10.1.2.3", false, true, false),
            ("172.16.0.1", false, true, false),
            ("172.32.0.1", true, true, true),
            ("192.168.1.1", false, true, false),
            ("100.64.0.1", false, true, false),
            ("fd12::1", false, true, false),
            ("64:ff9b::a00:1", false, true, false),
            ("2002:a00:1::1", false, true, false),
            ("169.254.169.254", false, false, false),
            ("::ffff:169.254.169.254", false, false, false),
            ("64:ff9b::a9fe:a9fe", false, false, false),
            ("fe80::1", false, false, false),
            ("2001:0:a00:1::1", false, false, false),
            ("64:ff9b:1::a00:1", false, false, false),
            ("::ffff:0:7f00:1", false, true, true),
            ("fd00:ec2::254", false, false, false),
            ("100.100.100.200", false, false, false),
            ("0.0.0.0", false, false, false),
            ("::", false, false, false),
            ("224.0.0.1", false, false, false),
            ("255.255.255.255", false, false, false),
            ("ff02::1", false, false, false),
        ] {
            let ip: IpAddr = address.parse().unwrap();
            assert_eq!(SERVE.permits(ip, false), plain, "{address}");
            assert_eq!(SERVE.permits(ip, true), private, "{address} with the flag");
            assert_eq!(MOCK.permits(ip, false), mock, "{address} under mock");
        }
    }
}
