//! Messages between this program, its supervisors and what they start: a line of JSON each, some with a descriptor.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const READ_LEN: usize = 16 * 1024;

/// One end of a stream of messages.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    unread: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Channel {
    /// Makes a channel, and the other end for a child's standard input.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::of(ours), OwnedFd::from(theirs)))
    }

    /// Takes the end that the parent gave as standard input.
    pub(crate) fn of_stdin() -> io::Result<Self> {
        let own = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self::of(UnixStream::from(own)))
    }

    fn of(stream: UnixStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// Returns a handle that can close this end for writing while another thread reads.
    pub(crate) fn closer(&self) -> io::Result<Closer> {
        Ok(Closer(self.stream.try_clone()?))
    }

    /// Sends a message.
    pub(crate) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        (&self.stream).write_all(&line(message)?)
    }

    /// Sends a message with a descriptor.
    pub(crate) fn send_with(
        &self,
        message: &impl Serialize,
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let line = line(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let slices = [IoSlice::new(&line)];
        let sent = sendmsg(&self.stream, &slices, &mut control, SendFlags::NOSIGNAL)?;
        (&self.stream).write_all(line.get(sent..).unwrap_or_default())
    }

    /// Waits for the next message. Returns `None` once the other end is closed.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        while !self.has_message() {
            if self.read()? == 0 {
                return Ok(None);
            }
        }
        let end = self.unread.iter().position(|byte| *byte == b'\n');
        let line: Vec<u8> = self.unread.drain(..=end.unwrap_or_default()).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// Returns whether a whole message was read already.
    pub(crate) fn has_message(&self) -> bool {
        self.unread.contains(&b'\n')
    }

    /// Returns the descriptor that came with the last message.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; READ_LEN];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let received = loop {
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&self.stream, &mut slices, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                // An end that was killed with unread messages counts as closed.
                Err(rustix::io::Errno::CONNRESET) => return Ok(0),
                other => break other?,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                self.descriptors.extend(rights);
            }
        }
        let read = buffer.get(..received.bytes).unwrap_or_default();
        self.unread.extend_from_slice(read);
        Ok(received.bytes)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Closes a channel for writing.
#[derive(Debug)]
pub(crate) struct Closer(UnixStream);

impl Closer {
    /// Lets the other end read the end of the stream. Closing twice is harmless.
    pub(crate) fn close(&self) {
        self.0.shutdown(Shutdown::Write).ok();
    }
}

fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _};

    use super::*;

    #[test]
    fn messages_keep_their_order_and_their_descriptors() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::of(UnixStream::from(theirs));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"through").unwrap();
        file.rewind().unwrap();
        let long = "x".repeat(3 * READ_LEN);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                theirs.send(&long).unwrap();
                theirs.send_with(&"file", file.as_fd()).unwrap();
                theirs.closer().unwrap().close();
            });
            assert_eq!(ours.receive::<String>().unwrap(), Some(long.clone()));
            assert_eq!(ours.receive::<String>().unwrap().as_deref(), Some("file"));
            assert_eq!(ours.receive::<String>().unwrap(), None);
        });
        let mut text = String::new();
        let received = ours.descriptor().unwrap();
        File::from(received).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert!(ours.descriptor().is_none(), "only one was sent");
    }
}
