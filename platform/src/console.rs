//! The only writer to the terminal. Standard output carries results, standard error the talk about them.

use std::io::Write;

use anstyle::{AnsiColor, Style};

/// What a piece of text means; the colour follows from it.
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

    /// The text in this tone; a writer without colours strips it again.
    pub(crate) fn paint(self, text: impl std::fmt::Display) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// A line to standard error, for the person at the terminal. A closed terminal is no reason to stop.
pub(crate) fn say(line: impl AsRef<str>) {
    writeln!(anstream::stderr().lock(), "{}", line.as_ref()).ok();
}

/// A line to standard output: a result that another program may read.
pub(crate) fn give(line: impl AsRef<str>) {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", line.as_ref())
        .and_then(|()| out.flush())
        .ok();
}
