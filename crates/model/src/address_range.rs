//! Ranges of addresses in the notation of RFC 4632, such as `10.0.0.0/8`: the hosts of ACLs.
//!
//! Source: `org.apache.kafka.server.authorizer.internals.CidrUtils` of Apache Kafka 4.4.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that begin with the same bits as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange {
    length: PrefixLength,
    /// The lowest address.
    first: IpAddr,
}

/// The number of bits that all addresses of a range have in common. An address and a length are
/// one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrefixLength {
    /// 0 to 32 bits of IPv4.
    V4(u8),
    /// 0 to 128 bits of IPv6.
    V6(u8),
}

/// The reason why a text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// The part before the slash is no address.
    #[error("what is before the slash is neither an IPv4 nor an IPv6 address")]
    Address,
    /// The address is one of IPv4 in the form of IPv6.
    #[error("write an IPv4 address as such, and not as an IPv6 address")]
    Mapped,
    /// The part after the slash is no number of bits of the address.
    #[error("the number of bits after the slash must be from 0 to {0}")]
    Bits(u8),
}

impl AddressRange {
    /// Reads a range such as `10.0.0.0/8` or `2001:db8::/32`. The bits of the address that are not
    /// common to the range are ignored, as in Kafka: `10.1.2.3/8` is the same range as
    /// `10.0.0.0/8`.
    ///
    /// # Errors
    /// When the text is no range.
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        let (address, bits) = text.split_once('/').ok_or(InvalidRange::Address)?;
        let number = |max: u8| {
            let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
            let number = bits.parse().ok().filter(|_| is_number);
            let number = number.filter(|number| *number <= max);
            number.ok_or(InvalidRange::Bits(max))
        };
        let (address, length) = if address.contains(':') {
            let address: Ipv6Addr = address.parse().map_err(|_| InvalidRange::Address)?;
            if address.to_ipv4_mapped().is_some() {
                return Err(InvalidRange::Mapped);
            }
            (address.into(), PrefixLength::V6(number(128)?))
        } else {
            let address = ipv4(address).ok_or(InvalidRange::Address)?;
            (address.into(), PrefixLength::V4(number(32)?))
        };
        length.range_of(address).ok_or(InvalidRange::Address)
    }

    /// Returns the number of bits that all addresses of the range have in common.
    #[must_use]
    pub fn prefix_length(&self) -> PrefixLength {
        self.length
    }
}

impl PrefixLength {
    /// Returns the range of this length that contains an address; `None` for an address of the
    /// other version of the protocol.
    #[must_use]
    pub fn range_of(self, address: IpAddr) -> Option<AddressRange> {
        let first = match (self, address) {
            (Self::V4(bits), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::from(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            (Self::V6(bits), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::from(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
            _ => return None,
        };
        Some(AddressRange {
            length: self,
            first,
        })
    }
}

/// Reads an address of IPv4, whose numbers may have leading zeros and are decimal nevertheless, as
/// in Kafka.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        let part = parts.next()?;
        let is_number = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        *octet = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, address: &str) -> bool {
        let range = AddressRange::parse(range).unwrap();
        let address = address.parse().unwrap();
        range.prefix_length().range_of(address) == Some(range)
    }

    #[test]
    fn a_range_contains_the_addresses_that_begin_with_its_bits() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("1.2.3.4/32", "1.2.3.4", "1.2.3.5"),
            ("1.2.3.5/31", "1.2.3.4", "1.2.3.6"),
            ("010.0.0.0/08", "10.0.0.1", "8.0.0.1"),
            ("2001:DB8::5/32", "2001:db8:ffff::", "2001:db9::"),
            ("::/0", "ffff::", "10.0.0.1"),
            ("::1/128", "::1", "::2"),
            ("::8/125", "::f", "::10"),
        ] {
            assert!(contains(range, inside), "{inside} in {range}");
            assert!(!contains(range, outside), "{outside} in {range}");
        }
    }

    #[test]
    fn texts_that_are_no_ranges_are_refused() {
        for (text, reason) in [
            ("10.0.0.0", InvalidRange::Address),
            ("/8", InvalidRange::Address),
            ("10.0.0/8", InvalidRange::Address),
            ("256.0.0.0/8", InvalidRange::Address),
            ("0010.0.0.0/8", InvalidRange::Address),
            (" 10.0.0.0/8", InvalidRange::Address),
            ("10.0.0.0.0/8", InvalidRange::Address),
            ("db.example/8", InvalidRange::Address),
            ("1:2/8", InvalidRange::Address),
            ("::g/8", InvalidRange::Address),
            ("::ffff:10.0.0.0/104", InvalidRange::Mapped),
            ("10.0.0.0/", InvalidRange::Bits(32)),
            ("10.0.0.0/33", InvalidRange::Bits(32)),
            ("10.0.0.0/+8", InvalidRange::Bits(32)),
            ("10.0.0.0/8 ", InvalidRange::Bits(32)),
            ("10.0.0.0/255.0.0.0", InvalidRange::Bits(32)),
            ("10.0.0.0/8/9", InvalidRange::Bits(32)),
            ("::1/129", InvalidRange::Bits(128)),
            ("::1/-1", InvalidRange::Bits(128)),
        ] {
            assert_eq!(AddressRange::parse(text), Err(reason), "{text}");
        }
    }
}
