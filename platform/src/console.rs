//! The only writer to the terminal: results go to standard output, everything else to standard error.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// What a piece of text means. Decides its color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Caution,
    Quiet,
    Strong,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Caution => AnsiColor::Yellow.on_default(),
            Self::Quiet => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }

    /// Adds the color; the writer strips it where colors are off.
    pub(crate) fn paint(self, text: impl std::fmt::Display) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// A line as a stream shows it. It is written at once: other threads and the function's own processes may write to the same pipe.
fn line(text: &str, colors: ColorChoice) -> Vec<u8> {
    let mut line = AutoStream::new(Vec::new(), colors);
    writeln!(line, "{text}").ok();
    line.into_inner()
}

/// Writes a line to standard error. Errors are ignored: a closed terminal must not stop the function.
pub(crate) fn say(text: impl AsRef<str>) {
    let err = io::stderr();
    let line = line(text.as_ref(), AutoStream::choice(&err));
    err.lock().write_all(&line).ok();
}

/// Writes a line about something that is odd and no error.
pub(crate) fn remark(text: impl std::fmt::Display) {
    say(format!("{} {text}", Tone::Caution.paint("note:")));
}

/// Writes a result's bytes to standard output as they are.
pub(crate) fn give_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).ok();
}

/// Writes a result to standard output and flushes it, since a program may be reading.
pub(crate) fn give(text: impl AsRef<str>) {
    let choice = AutoStream::choice(&io::stdout());
    give_bytes(&line(text.as_ref(), choice));
}
