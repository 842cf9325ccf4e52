//! The positions of a head's field lines, and which of them have names that are looked for in every head.

use crate::limits::HEAD_LEN_CEILING;

/// A half-open range of bytes in a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Span {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self {
            start: Self::position(start),
            end: Self::position(end),
        }
    }

    /// A position in a head, or its end.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a head is never longer than HEAD_LEN_CEILING"
    )]
    pub(super) const fn position(at: usize) -> u16 {
        debug_assert!(
            at <= HEAD_LEN_CEILING,
            "a head longer than HEAD_LEN_CEILING was accepted"
        );
        at as u16
    }

    /// The position of `part`, which httparse borrowed from `whole`.
    pub(super) fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Self::new(start, start.wrapping_add(part.len()))
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        let part = bytes.get(usize::from(self.start)..usize::from(self.end));
        debug_assert!(part.is_some(), "a part of another head");
        part.unwrap_or_default()
    }

    pub(super) const fn len(self) -> usize {
        self.end.wrapping_sub(self.start) as usize
    }

    pub(super) const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldSpan {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// A field line where it was found.
pub(super) struct Line {
    pub(super) name: Span,
    pub(super) value: Span,
    /// The byte in the middle of its name.
    pub(super) middle: u8,
    /// Where the next line begins.
    pub(super) next: usize,
    /// Whether that is the empty line at the end.
    pub(super) is_last: bool,
}

/// Names of fields that are looked for in every head, as bits: the marks of the names. Few other names have one of these marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(u64);

impl Names {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn of(mut names: &[&[u8]]) -> Self {
        let mut marks = 0;
        while let [name, others @ ..] = names {
            let middle = name.split_at(name.len() / 2).1;
            if let Some(middle) = middle.first() {
                marks |= Self::mark(name.len(), *middle);
            }
            names = others;
        }
        Self(marks)
    }

    /// Both.
    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    const fn has_all(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// Whether a name of this length with this byte in its middle may be one of them.
    #[inline]
    const fn may_have(self, name_len: usize, middle: u8) -> bool {
        self.0 & Self::mark(name_len, middle) != 0
    }

    /// One of 64 bits. It follows from the length of a name and the byte in its middle, and is the same in upper and lower case.
    #[inline]
    const fn mark(name_len: usize, middle: u8) -> u64 {
        1 << (name_len.wrapping_add((middle as usize).wrapping_mul(2)) % 64)
    }
}

/// Lines for which memory is made at once.
const GROWTH: usize = 32;
/// Lines that have a bit. Those after them are all looked at.
const BITS: usize = 64;

/// The bit of the line at this place. Of one that has none it is another's, which is then looked at for nothing.
const fn bit(place: usize) -> u64 {
    1 << (place % BITS)
}

/// The field lines of a head. Their memory is filled in advance, so that a line is added by stores alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    slots: Vec<FieldSpan>,
    len: usize,
    /// The names that are looked for.
    names: Names,
    /// The lines that may have one of them, as bits.
    noted: u64,
}

impl Fields {
    pub(super) fn noting(names: Names) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
        self.noted = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn all(&self) -> &[FieldSpan] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    /// The lines with these names, in their order, and perhaps others.
    pub(super) fn with_names(&self, names: Names) -> impl Iterator<Item = &FieldSpan> {
        let fields = self.all();
        let mut noted = if self.names.has_all(names) {
            self.noted
        } else {
            u64::MAX
        };
        let mut others = BITS..;
        core::iter::from_fn(move || {
            if noted == 0 {
                return fields.get(others.next()?);
            }
            let field = fields.get(noted.trailing_zeros() as usize);
            noted &= noted.wrapping_sub(1);
            field
        })
    }

    /// Adds the lines from byte `at` on for as long as `line_at` returns one, at most until there are `len_max`, and at most as many
    /// as there is memory for. Returns where the next line begins.
    #[inline(never)] // It needs all registers.
    pub(super) fn extend_in_place(
        &mut self,
        len_max: usize,
        mut at: usize,
        line_at: impl Fn(usize) -> Option<Line>,
    ) -> usize {
        let mut len = self.len;
        let mut noted = self.noted;
        let names = self.names;
        let end = len_max.min(self.slots.len());
        let slots = self.slots.get_mut(..end).unwrap_or_default();
        while let Some(slot) = slots.get_mut(len)
            && let Some(line) = line_at(at)
        {
            let Line { name, value, .. } = line;
            *slot = FieldSpan { name, value };
            if names.may_have(name.len(), line.middle) {
                core::hint::cold_path();
                noted |= bit(len);
            }
            len = len.wrapping_add(1);
            at = line.next;
            if line.is_last {
                break;
            }
        }
        self.len = len;
        self.noted = noted;
        at
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == self.slots.len()
    }

    /// Makes memory for more lines.
    #[inline(never)]
    pub(super) fn grow(&mut self) {
        let room = self.slots.len().wrapping_add(GROWTH);
        self.slots.resize(room, FieldSpan::default());
    }

    /// Adds a line of any kind.
    pub(super) fn push(&mut self, field: FieldSpan) {
        if self.is_full() {
            self.grow();
        }
        if let Some(slot) = self.slots.get_mut(self.len) {
            *slot = field;
            self.noted |= bit(self.len);
            self.len = self.len.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::h1::head::{HeadIndex, HeadLimits, HeadView, Scan, parse};
    use crate::limits::{HEAD_LEN_CEILING, HEADERS_CEILING};

    const LIMITS: HeadLimits = HeadLimits {
        head_len_max: HEAD_LEN_CEILING,
        target_len_max: 64,
        headers_max: HEADERS_CEILING,
    };
    const WANTED: [&str; 5] = [
        "te",
        "host",
        "x-even",
        "x-uneven",
        "a-name-of-thirty-three-bytes-or-so",
    ];

    /// The names of the lines that are found for the wanted names in an index for the first `noted` of them.
    fn found(head: &str, noted: usize) -> Vec<String> {
        let wanted = WANTED.map(str::as_bytes);
        let mut index = HeadIndex::noting(Names::of(&wanted[..noted]));
        // The second time there is memory for all lines.
        for _ in 0..2 {
            let parsed = parse(head.as_bytes(), &mut Scan::default(), &LIMITS, &mut index);
            assert_eq!(parsed, Ok(Some(head.len())), "{head}");
        }
        let view = HeadView::new(head.as_bytes(), &index);
        let names = view.fields_with(Names::of(&wanted));
        names
            .map(|field| String::from_utf8_lossy(field.name()).into_owned())
            .collect()
    }

    #[test]
    fn a_name_that_is_looked_for_is_found_in_any_case_and_at_any_place() {
        let names = crate::sim::scaled("names", WANTED.len(), 2);
        let places = crate::sim::scaled("places", 70, 2);
        let last = crate::sim::scaled("the last place", 200, 9);
        for name in WANTED.into_iter().take(names) {
            for name in [name.to_ascii_uppercase(), name.to_owned()] {
                for place in (0..places).chain([last]) {
                    let before = "a: b\r\n".repeat(place);
                    for after in ["", "b: c\r\n", "under_score: d\r\n"] {
                        let head = format!("GET / HTTP/1.1\r\n{before}{name}: v\r\n{after}\r\n");
                        for noted in [WANTED.len(), 1, 0] {
                            let found = found(&head, noted);
                            let count = found.iter().filter(|found| **found == name).count();
                            assert_eq!(count, 1, "{name} at {place}, {after}: {found:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn few_other_lines_are_looked_at() {
        let others = ["Cookie", "Date", "Accept", "X-Odd", "X-Unevenly"];
        let lines = others.map(|name| format!("{name}: v\r\n")).concat();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(found(&head, WANTED.len()), ["Host"]);
        assert_eq!(found(&head, 0).len(), 6, "without notes all are looked at");
    }
}
