//! Content codings that a client accepts (RFC 9110 §12.5.3).

use crate::message::request::Head;

/// A content coding that files are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

/// The best first.
const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstandard, Coding::Gzip];

impl Coding {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is(self, name: &str) -> bool {
        // `x-gzip` is an alias (§8.4.1.3).
        let name = if name.eq_ignore_ascii_case("x-gzip") {
            "gzip"
        } else {
            name
        };
        name.eq_ignore_ascii_case(self.name())
    }
}

/// The codings that the client accepts, the preferred one first. None without the field.
pub(super) fn accepted(head: Head<'_>) -> Vec<Coding> {
    let lines = head.headers().all("accept-encoding");
    let lines = lines.filter_map(|line| core::str::from_utf8(line).ok());
    let listed: Vec<(&str, u16)> = lines
        .flat_map(|line| line.split(','))
        .map(weighted)
        .collect();
    let weight = |coding: Coding| {
        let named = listed.iter().find(|(name, _)| coding.is(name));
        let any = || listed.iter().find(|(name, _)| *name == "*");
        named.or_else(any).map_or(0, |(_, weight)| *weight)
    };
    let mut codings: Vec<Coding> = CODINGS
        .into_iter()
        .filter(|coding| weight(*coding) > 0)
        .collect();
    codings.sort_by_key(|coding| core::cmp::Reverse(weight(*coding)));
    codings
}

/// A member of the list and its weight in thousandths (§12.4.2); 0 if that does not parse.
fn weighted(member: &str) -> (&str, u16) {
    let (name, parameter) = match member.split_once(';') {
        Some((name, parameter)) => (name, Some(parameter)),
        None => (member, None),
    };
    let weight = parameter.map_or(1000, |parameter| {
        let value = parameter.trim().strip_prefix(['q', 'Q']);
        let value = value.and_then(|value| value.strip_prefix('='));
        let value = value.and_then(|value| value.parse::<f32>().ok());
        let value = value.filter(|value| (0.0..=1.0).contains(value));
        value.map_or(0, thousandths)
    });
    (name.trim(), weight)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the weight is between 0 and 1"
)]
fn thousandths(weight: f32) -> u16 {
    (weight * 1000.0).ceil() as u16
}

#[cfg(test)]
mod tests {
    use super::{Coding, accepted};
    use crate::{Request, TestRequest};

    #[test]
    fn the_codings_that_a_client_prefers_come_first() {
        use Coding::{Brotli, Gzip, Zstandard};
        for (field, expected) in [
            ("", vec![]),
            ("gzip", vec![Gzip]),
            ("GZIP, br", vec![Brotli, Gzip]),
            ("x-gzip", vec![Gzip]),
            ("gzip, br;q=0.5, zstd;q=0.8", vec![Gzip, Zstandard, Brotli]),
            ("br;q=0, gzip;Q=0.001", vec![Gzip]),
            ("*", vec![Brotli, Zstandard, Gzip]),
            ("*;q=0.1, br;q=0", vec![Zstandard, Gzip]),
            ("gzip;q=2, br;q=x, zstd;v=1, zst", vec![]),
            ("identity", vec![]),
        ] {
            let found = std::cell::RefCell::default();
            let look = |request: &Request<'_>| {
                found.replace(accepted(request.head()));
            };
            let request = TestRequest::get("/").header("accept-encoding", field);
            drop(request.run(look));
            assert_eq!(found.take(), expected, "{field}");
        }
    }
}
