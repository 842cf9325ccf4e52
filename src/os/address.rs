//! Formats an address for the lines that the operator reads at a start.

use core::fmt::{self, Write as _};
use std::net::{SocketAddr, SocketAddrV6};

use super::number::{DECIMAL, HEXADECIMAL, write_number};

/// Formatted as by std, except for an IPv4 address within an IPv6 one, which has no dots here. std's own formatting brings
/// padding and buffers, more than a kilobyte in the smallest build.
pub(crate) struct DisplayAddress<'a>(pub(crate) &'a SocketAddr);

impl fmt::Display for DisplayAddress<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V4(address) => {
                let mut before = "";
                for octet in address.ip().octets() {
                    formatter.write_str(before)?;
                    write_number(formatter, octet.into(), DECIMAL)?;
                    before = ".";
                }
            }
            SocketAddr::V6(address) => write_v6(formatter, address)?,
        }
        formatter.write_char(':')?;
        write_number(formatter, self.0.port().into(), DECIMAL)
    }
}

/// RFC 5952 §4: the longest run of at least two zeros is left out; of equal runs, the first.
#[cfg_attr(not(smallest), cold)]
fn write_v6(formatter: &mut fmt::Formatter<'_>, address: &SocketAddrV6) -> fmt::Result {
    let groups = address.ip().segments();
    let (mut left_out, mut longest) = (0..0, 1);
    for start in 0..groups.len() {
        let zeros = groups.iter().skip(start).take_while(|group| **group == 0);
        let len = zeros.count();
        if len > longest {
            (left_out, longest) = (start..start.saturating_add(len), len);
        }
    }
    formatter.write_char('[')?;
    let mut before = "";
    for (at, group) in groups.iter().enumerate() {
        if !left_out.contains(&at) {
            formatter.write_str(before)?;
            write_number(formatter, (*group).into(), HEXADECIMAL)?;
            before = ":";
        } else if at == left_out.start {
            formatter.write_str("::")?;
            before = "";
        }
    }
    match address.scope_id() {
        0 => {}
        scope => {
            formatter.write_char('%')?;
            write_number(formatter, scope.into(), DECIMAL)?;
        }
    }
    formatter.write_char(']')
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::DisplayAddress;

    #[test]
    fn an_address_is_shown_as_std_shows_it() {
        for text in [
            "0.0.0.0:9000",
            "127.0.0.1:65535",
            "255.10.1.100:1",
            "[::]:9000",
            "[::1]:80",
            "[1::]:80",
            "[2001:db8::1]:443",
            "[2001:db8:0:1:1:1:1:1]:443",
            "[1:0:0:2::3]:1",
            "[1:0:0:2:3:0:0:4]:1",
            "[0:1:2:3:4:5:6:7]:1",
            "[1:2:3:4:5:6:7:0]:1",
            "[0:0:1:2:3:4:5:6]:1",
            "[1:2:3:4:5:6:0:0]:1",
            "[fe80::abcd%3]:8080",
        ] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(
                DisplayAddress(&address).to_string(),
                address.to_string(),
                "{text}"
            );
        }
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:80".parse().expect("an address");
        assert_eq!(DisplayAddress(&mapped).to_string(), "[::ffff:7f00:1]:80");
    }
}
