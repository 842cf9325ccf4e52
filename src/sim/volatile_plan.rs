//! Where a request's handler has values that panic when they are dropped.

/// In what the handler returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InResponse {
    Future,
    /// In a future that panics before that.
    PanickingFuture,
    /// In the code of a body, and the memory of its piece.
    Writer,
    /// In the error that the code of a body ends with.
    WriterError,
    PanickingWriter,
    /// The memory of a whole body of this length.
    Whole(usize),
    /// In the output of a task.
    Task,
}

/// In a function that yields a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InFunction {
    /// And in the memory of its piece, which is so long.
    Piece(usize),
    Panicking,
    Local,
    /// And in its error.
    Error,
}

/// In what takes the body, or the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InAccept {
    Upload,
    /// In the code that pulls the body.
    Reader,
    PanickingReader,
    /// No such value, but a waker that waits for the body and panics when it is called.
    Waker,
    Socket,
    PanickingSocket,
}

/// Which values of the handler's panic when they are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolatileIn {
    Response(InResponse),
    Function(InFunction),
    Accept(InAccept),
}

/// A piece that is sent from its own memory.
const LONG: usize = 20_000;

impl VolatileIn {
    pub(super) const ALL: [Self; 19] = [
        Self::Response(InResponse::Future),
        Self::Response(InResponse::PanickingFuture),
        Self::Response(InResponse::Writer),
        Self::Response(InResponse::WriterError),
        Self::Response(InResponse::PanickingWriter),
        Self::Response(InResponse::Whole(10)),
        Self::Response(InResponse::Whole(LONG)),
        Self::Response(InResponse::Task),
        Self::Function(InFunction::Piece(10)),
        Self::Function(InFunction::Piece(LONG)),
        Self::Function(InFunction::Panicking),
        Self::Function(InFunction::Local),
        Self::Function(InFunction::Error),
        Self::Accept(InAccept::Upload),
        Self::Accept(InAccept::Reader),
        Self::Accept(InAccept::PanickingReader),
        Self::Accept(InAccept::Waker),
        Self::Accept(InAccept::Socket),
        Self::Accept(InAccept::PanickingSocket),
    ];

    pub(super) fn is_socket(self) -> bool {
        self == Self::Accept(InAccept::Socket) || self == Self::Accept(InAccept::PanickingSocket)
    }
}

/// Where the values are, and how often the code waits before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VolatilePlan {
    pub(super) place: VolatileIn,
    pub(super) waits: usize,
}

impl VolatilePlan {
    pub(super) fn parse(number: usize, waits: usize) -> Option<Self> {
        let place = *VolatileIn::ALL.get(number)?;
        Some(Self { place, waits })
    }

    /// The number of its place.
    pub(super) fn number(self) -> usize {
        let mut places = VolatileIn::ALL.iter();
        places.position(|place| *place == self.place).unwrap_or(0)
    }
}
