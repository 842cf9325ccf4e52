//! The positions of a head's field lines, and which of them have names that are looked for in every head.

use crate::limits::{FIRST_BLOCK_LEN, HEAD_LEN_CEILING};

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
    /// The fourth byte from the end of its name, or of the line end before a shorter one.
    pub(super) fourth: u8,
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

    /// # Panics
    ///
    /// If a name has one byte: it has no mark.
    pub(crate) const fn of(mut names: &[&[u8]]) -> Self {
        let mut marks = 0;
        while let [name, others @ ..] = names {
            assert!(name.len() > 1, "a name of one byte has no mark");
            let fourth = match name {
                [.., fourth, _, _, _] => *fourth,
                [_, _, _] => b'\n',
                [] | [_] | [_, _] => b'\r',
            };
            marks |= 1 << Self::mark(name.len(), fourth);
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

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is the mark of one of the names.
    #[inline]
    const fn has(self, mark: usize) -> bool {
        self.0 >> mark & 1 != 0
    }

    /// The place of one of 64 bits. It follows from the length of a name and its fourth byte from the end, and is the same in upper and lower
    /// case.
    #[inline]
    const fn mark(name_len: usize, fourth: u8) -> usize {
        name_len.wrapping_add((fourth as usize).wrapping_mul(8)) % MARKS
    }
}

/// Lines for which memory is made at once: as many as the platform sends, and one more.
pub(super) const GROWTH: usize = FIRST_BLOCK_LEN / size_of::<FieldSpan>();
/// Lines that have a bit. If there are more, all are looked at.
const BITS: usize = 64;

/// The bit of the line at this place; another's if it has none.
const fn bit(place: usize) -> u64 {
    1 << (place % BITS)
}

/// The names that are looked for in every head. The compiler makes it.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// All of them.
    names: Names,
    /// Those that the handler looks for.
    handler: Names,
    /// By mark: the kinds of the names that have it.
    kinds: [u8; KINDS_LEN],
}

const MARKS: usize = u64::BITS as usize;
/// The smallest build has no room for kinds: there each name is of all.
const KINDS_LEN: usize = if cfg!(smallest) { 0 } else { MARKS };

/// The kinds of wanted names, as bits.
const USUAL: u8 = 1;
const UNUSUAL: u8 = 2;
const HANDLER: u8 = 4;

impl Wanted {
    pub(crate) const NONE: &'static Self = &Self::new(Names::NONE, Names::NONE, Names::NONE);

    /// Those that frame most messages, the others that frame one, and those that the handler looks for.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "the compiler does this: what fails does not compile"
    )]
    pub(in crate::h1) const fn new(usual: Names, unusual: Names, handler: Names) -> Self {
        let mut kinds = [0; KINDS_LEN];
        let mut mark = 0;
        while mark < KINDS_LEN {
            kinds[mark] = (usual.has(mark) as u8 * USUAL)
                | (unusual.has(mark) as u8 * UNUSUAL)
                | (handler.has(mark) as u8 * HANDLER);
            mark += 1;
        }
        Self {
            names: usual.and(unusual).and(handler),
            handler,
            kinds,
        }
    }
}

/// Lines of a head as bits: those that may have a wanted name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines(u64);

impl Lines {
    const NONE: Self = Self(0);
    /// All lines, those included that have no bit: the index has not looked.
    const ALL: Self = Self(u64::MAX);

    pub(super) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The field lines of a head. Their memory is filled in advance, so that a line is added by stores alone.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    slots: Vec<FieldSpan>,
    len: usize,
    wanted: &'static Wanted,
    /// The lines that may have one, for each kind.
    pub(super) usual: Lines,
    pub(super) unusual: Lines,
    handler: Lines,
    /// The same if there is no such line.
    none: Lines,
}

impl Default for Fields {
    fn default() -> Self {
        Self::noting(Wanted::NONE)
    }
}

impl Fields {
    pub(super) const fn noting(wanted: &'static Wanted) -> Self {
        let none = if wanted.names.is_empty() {
            Lines::ALL
        } else {
            Lines::NONE
        };
        Self {
            slots: Vec::new(),
            len: 0,
            wanted,
            usual: none,
            unusual: none,
            handler: none,
            none,
        }
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
        self.note_each(self.none);
    }

    const fn note_each(&mut self, lines: Lines) {
        self.usual = lines;
        self.unusual = lines;
        self.handler = lines;
    }

    pub(super) fn all(&self) -> &[FieldSpan] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    /// The lines that may have one of these names, for which the handler looks.
    #[inline]
    pub(super) const fn for_handler(&self, names: Names) -> Lines {
        if self.wanted.handler.has_all(names) {
            self.handler
        } else {
            Lines::ALL
        }
    }

    /// These lines, in their order.
    #[inline]
    pub(super) fn some(&self, lines: Lines) -> impl Iterator<Item = &FieldSpan> {
        let (noted, others) = match lines {
            Lines::ALL => (Lines::NONE, self.all()),
            noted => (noted, &[][..]),
        };
        let (mut noted, mut others) = (self.noted(noted), others.iter());
        core::iter::from_fn(move || noted.next().or_else(|| others.next()))
    }

    /// The same of lines that have bits.
    #[inline]
    pub(super) fn noted(&self, lines: Lines) -> impl Iterator<Item = &FieldSpan> {
        let mut left = lines.0;
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let place = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            self.slots.get(place)
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
        let names = self.wanted.names;
        let end = len_max.min(self.slots.len());
        let slots = self.slots.get_mut(..end).unwrap_or_default();
        while let Some(slot) = slots.get_mut(len)
            && let Some(line) = line_at(at)
        {
            let Line { name, value, .. } = line;
            *slot = FieldSpan { name, value };
            let mark = Names::mark(name.len(), line.fourth);
            if names.has(mark) {
                core::hint::cold_path();
                let kinds = self.wanted.kinds.get(mark);
                let kinds = kinds.copied().unwrap_or(USUAL | UNUSUAL | HANDLER);
                if kinds & USUAL != 0 {
                    self.usual.0 |= bit(len);
                }
                if kinds & UNUSUAL != 0 {
                    self.unusual.0 |= bit(len);
                }
                if kinds & HANDLER != 0 {
                    self.handler.0 |= bit(len);
                }
            }
            len = len.wrapping_add(1);
            at = line.next;
            if line.is_last {
                break;
            }
        }
        self.len = len;
        if len > BITS {
            self.note_each(Lines::ALL);
        }
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
            self.note_each(Lines::ALL);
            self.len = self.len.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Wanted};
    use crate::h1::head::{HeadIndex, HeadLimits, HeadView, Scan, parse};
    use crate::limits::{HEAD_LEN_CEILING, HEADERS_CEILING};

    const LIMITS: HeadLimits = HeadLimits {
        head_len_max: HEAD_LEN_CEILING,
        target_len_max: 64,
        headers_max: HEADERS_CEILING,
    };
    const NAMES: [&[u8]; 5] = [
        b"te",
        b"host",
        b"x-even",
        b"x-uneven",
        b"a-name-of-thirty-three-bytes-or-so",
    ];

    const fn for_handler(names: &[&[u8]]) -> Wanted {
        Wanted::new(Names::NONE, Names::NONE, Names::of(names))
    }
    static ALL: Wanted = for_handler(&NAMES);
    static FIRST: Wanted = for_handler(&[NAMES[0]]);

    /// The names of the lines that are found for the wanted names in an index that notes these.
    fn found(head: &str, noted: &'static Wanted) -> Vec<String> {
        let mut index = HeadIndex::noting(noted);
        // The second time there is memory for all lines.
        for _ in 0..2 {
            let parsed = parse(head.as_bytes(), &mut Scan::default(), &LIMITS, &mut index);
            assert_eq!(parsed, Ok(Some(head.len())), "{head}");
        }
        let view = HeadView::new(head.as_bytes(), &index);
        let names = view.fields_with(Names::of(&NAMES));
        names
            .map(|field| String::from_utf8_lossy(field.name()).into_owned())
            .collect()
    }

    #[test]
    fn a_name_that_is_looked_for_is_found_in_any_case_and_at_any_place() {
        let names = crate::sim::scaled("names", NAMES.len(), 2);
        let places = crate::sim::scaled("places", 70, 2);
        let last = crate::sim::scaled("the last place", 200, 9);
        for name in NAMES.into_iter().take(names) {
            let name = std::str::from_utf8(name).expect("a name is text");
            for name in [name.to_ascii_uppercase(), name.to_owned()] {
                for place in (0..places).chain([last]) {
                    let before = "a: b\r\n".repeat(place);
                    for after in ["", "b: c\r\n", "under_score: d\r\n"] {
                        let head = format!("GET / HTTP/1.1\r\n{before}{name}: v\r\n{after}\r\n");
                        for noted in [&ALL, &FIRST, Wanted::NONE] {
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
        let others = ["Cookie", "Date", "Accept", "X-Odd", "X-Oddly"];
        let lines = others.map(|name| format!("{name}: v\r\n")).concat();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(found(&head, &ALL), ["Host"]);
        assert_eq!(
            found(&head, Wanted::NONE).len(),
            6,
            "without notes all are looked at"
        );
    }
}
