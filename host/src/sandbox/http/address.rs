//! Which addresses guests may reach: the public internet, and what an operator names literally.
//!
//! Names are judged after they were resolved, because whoever owns a name decides what it resolves to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sandbox::HttpHost;

/// What the addresses of an allowed host may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is a name: any address of the public internet.
    Public,
    /// It is `localhost`: this machine.
    Loopback,
    /// It is an address, and the only one.
    Exactly(IpAddr),
}

impl Reach {
    /// What an entry of the operator's list allows.
    pub(super) fn of(host: &HttpHost) -> Self {
        match host.host.parse() {
            Ok(address) => Self::Exactly(address),
            Err(_) if host.host == "localhost" => Self::Loopback,
            Err(_) => Self::Public,
        }
    }

    /// Whether an address may be connected to.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Loopback => address.is_loopback(),
            Self::Exactly(only) => address == only,
        }
    }
}

/// Whether an operator may name an address literally: a public one, or one of this machine or its own network.
pub(super) fn may_be_named(address: IpAddr) -> bool {
    is_public(address) || address.is_loopback() || is_private(address)
}

/// Whether an address belongs to the public internet. What embeds another address (mapped, 6to4, Teredo, NAT64)
/// does not, whatever it embeds.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // This network, private, loopback, and all that is multicast, reserved or broadcast.
        (0 | 10 | 127 | 224..=255, _, _) => true,
        // Shared by carriers, link-local with the metadata services, private, private.
        (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Protocol assignments, documentation, relays of 6to4.
        (192, 0, 0 | 2) | (192, 88, 99) => true,
        // Benchmarks, documentation twice.
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is handed out. Mapped and compatible addresses, NAT64, unique local, link-local and multicast
    // ones all lie outside of it.
    let handed_out = a & 0xe000 == 0x2000;
    let special = match (a, b) {
        // Protocol assignments with Teredo and benchmarks, documentation.
        (0x2001, 0..=0x01ff | 0x0db8) => true,
        // 6to4; documentation.
        (0x2002, _) | (0x3fff, 0..=0x0fff) => true,
        _ => false,
    };
    handed_out && !special
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_private() || (a == 100 && (64..=127).contains(&b))
        }
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; 9] = [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700:4700::1111",
    ];

    const NOT_PUBLIC: [&str; 45] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fe80::1",
        "ff02::1",
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn reach(host: &str) -> Reach {
        Reach::of(&HttpHost { tls: false, host: host.to_owned(), port: 80 })
    }

    #[test]
    fn only_the_public_internet_is_public() {
        for text in PUBLIC {
            assert!(is_public(address(text)), "{text}");
        }
        for text in NOT_PUBLIC {
            assert!(!is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn a_name_reaches_public_addresses_only_and_localhost_this_machine_only() {
        for text in NOT_PUBLIC {
            assert!(!reach("api.example.com").allows(address(text)), "{text}");
        }
        assert!(reach("api.example.com").allows(address("8.8.8.8")));
        assert!(reach("localhost").allows(address("127.0.0.1")) && reach("localhost").allows(address("::1")));
        for text in ["8.8.8.8", "10.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(!reach("localhost").allows(address(text)), "{text}");
        }
    }

    #[test]
    fn an_address_reaches_itself_only() {
        assert!(reach("10.0.0.1").allows(address("10.0.0.1")));
        for text in ["10.0.0.2", "::ffff:10.0.0.1", "8.8.8.8"] {
            assert!(!reach("10.0.0.1").allows(address(text)), "{text}");
        }
    }

    #[test]
    fn addresses_of_this_machine_and_network_may_be_named_and_no_odd_ones() {
        for text in ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "fd00::1", "8.8.8.8"] {
            assert!(may_be_named(address(text)), "{text}");
        }
        for text in
            ["0.0.0.0", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1", "224.0.0.1", "2002:7f00:1::"]
        {
            assert!(!may_be_named(address(text)), "{text}");
        }
    }
}
