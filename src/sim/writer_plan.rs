//! What the code of a body does, what wakes code that waits, and how a future ends.

/// What wakes a future each time that it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeKind {
    /// A background job, after a while.
    Elsewhere,
    /// The future itself, during its poll.
    Own,
    /// Several jobs, some of them late: the future may be woken again, or be over by then.
    Several,
    /// A job, but not before the liveness phase.
    Late,
    /// A timer.
    Timer,
    /// The ticks of one interval.
    Tick,
    /// The end of a task, which waits for a timer.
    Task,
}

impl WakeKind {
    /// The kind with this number.
    pub(super) const fn of(number: u64) -> Self {
        match number {
            0 => Self::Elsewhere,
            1 => Self::Own,
            2 => Self::Several,
            4 => Self::Timer,
            5 => Self::Tick,
            6 => Self::Task,
            _ => Self::Late,
        }
    }
}

/// How a future ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FutureEnd {
    /// With a response.
    Response,
    /// With a panic in its last poll.
    Panic,
    /// With a response, but dropping the future panics.
    PanicInDrop,
    /// With another future, which waits once and ends with the response.
    Another,
    /// With early hints and a response that is ready.
    Informed,
}

impl FutureEnd {
    /// The end with this number.
    pub(super) const fn of(number: u64) -> Self {
        match number {
            0 => Self::Response,
            1 => Self::Panic,
            2 => Self::PanicInDrop,
            3 => Self::Another,
            _ => Self::Informed,
        }
    }

    pub(super) const fn panics(self) -> bool {
        matches!(self, Self::Panic | Self::PanicInDrop)
    }
}

/// How the code of a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterEnd {
    Return,
    /// It finishes, and then waits for ever.
    Finish,
    /// It finishes with trailers, one of which the response has announced.
    Trailers,
    /// It returns after the announced length.
    Exact,
    /// The same with trailers, for which there is no place.
    ExactTrailers,
    /// It returns one byte before the announced length.
    Short,
    /// It sends one byte more than announced.
    Long,
    Error,
    Panic,
    /// It returns, but dropping it panics.
    PanicInDrop,
    /// It drops what it writes to, and then waits for ever.
    DropWriter,
}

impl WriterEnd {
    pub(super) const ALL: [Self; 11] = [
        Self::Return,
        Self::Finish,
        Self::Trailers,
        Self::Exact,
        Self::ExactTrailers,
        Self::Short,
        Self::Long,
        Self::Error,
        Self::Panic,
        Self::PanicInDrop,
        Self::DropWriter,
    ];

    /// Whether the response is complete.
    pub(super) const fn is_complete(self) -> bool {
        match self {
            Self::Return | Self::Finish | Self::Trailers | Self::Exact | Self::ExactTrailers => {
                true
            }
            Self::Short
            | Self::Long
            | Self::Error
            | Self::Panic
            | Self::PanicInDrop
            | Self::DropWriter => false,
        }
    }
}

/// What makes a body of its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    Writer,
    /// A function that yields pieces, and so no trailers.
    Pieces,
    Frames,
    /// The same bodies, which stay on their thread.
    LocalWriter,
    LocalPieces,
    LocalFrames,
}

impl BodyForm {
    pub(super) const ALL: [Self; 6] = [
        Self::Writer,
        Self::Pieces,
        Self::Frames,
        Self::LocalWriter,
        Self::LocalPieces,
        Self::LocalFrames,
    ];

    const fn has_trailers(self) -> bool {
        match self {
            Self::Writer | Self::Frames | Self::LocalWriter | Self::LocalFrames => true,
            Self::Pieces | Self::LocalPieces => false,
        }
    }
}

/// What the code of a body writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WriterPlan {
    pub(super) pieces: usize,
    /// The bytes of each piece.
    pub(super) len: usize,
    /// How many bytes may wait.
    pub(super) room: usize,
    /// What wakes it after its waits: one before each piece, one before the end.
    pub(super) wake: Option<WakeKind>,
    pub(super) end: WriterEnd,
    pub(super) form: BodyForm,
}

impl WriterPlan {
    /// The plan that these numbers of a path encode. Without a form it is that of a writer.
    pub(super) fn parse(numbers: &[u64]) -> Option<Self> {
        let ([pieces, len, room, wake, end], form) = numbers.split_first_chunk()?;
        let end = usize::try_from(*end).ok()?;
        let form = usize::try_from(form.first().copied().unwrap_or(0)).ok()?;
        Some(Self {
            pieces: usize::try_from(*pieces).ok()?,
            len: usize::try_from(*len).ok()?,
            room: usize::try_from(*room).ok()?,
            wake: (*wake < 9).then(|| WakeKind::of(*wake)),
            end: *WriterEnd::ALL.get(end)?,
            form: *BodyForm::ALL.get(form)?,
        })
    }

    /// Whether it ends with trailers, if there is a place for them.
    pub(super) fn ends_with_trailers(&self) -> bool {
        self.end == WriterEnd::Trailers && self.form.has_trailers()
    }

    /// The total length.
    pub(super) const fn len(&self) -> usize {
        self.pieces * self.len
    }

    /// The length that the response announces.
    pub(super) const fn announced(&self) -> Option<u64> {
        let len = self.len() as u64;
        match self.end {
            WriterEnd::Exact | WriterEnd::ExactTrailers => Some(len),
            WriterEnd::Short => Some(len + 1),
            WriterEnd::Long => Some(len.saturating_sub(1)),
            WriterEnd::Return
            | WriterEnd::Finish
            | WriterEnd::Trailers
            | WriterEnd::Error
            | WriterEnd::Panic
            | WriterEnd::PanicInDrop
            | WriterEnd::DropWriter => None,
        }
    }
}
