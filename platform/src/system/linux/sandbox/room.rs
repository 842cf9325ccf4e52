//! What a function in a sandbox sees: the code at `/code`, a `/tmp` and a `/proc` of its own, and this machine's files.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    unmount,
};
use rustix::process::{pivot_root, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, set_capabilities,
};

use super::channel::Channel;
use super::messages::{Order, Report};
use super::network;
use crate::sandbox::{Network, Refusal, Room, Step};

/// Where the new root is put together. It exists on every machine, and is hidden only in the sandbox.
const STAGING: &str = "/tmp";
/// What the new root does not take over from this machine.
const REPLACED: [&str; 3] = ["code", "proc", "tmp"];

/// Moves the supervisor into new namespaces, but leaves it this machine's files. Its next child becomes process 1.
pub(super) fn enter(room: &Room, control: &mut Channel) -> Result<(), Refusal> {
    let mut flags = UnshareFlags::NEWPID;
    if room.network == Network::Own {
        flags |= UnshareFlags::NEWNET;
    }
    // Who may mount needs no user namespace, and keeps low ports and other users without one.
    let needs_user_namespace = !may(CapabilitySet::SYS_ADMIN);
    if needs_user_namespace {
        flags |= UnshareFlags::NEWUSER;
    }
    step("create namespaces", unshare(flags))?;
    if needs_user_namespace {
        let mapped = control
            .send(&Report::MapIdentities)
            .and_then(|()| control.receive());
        match step("map user ids", mapped)? {
            Some(Order::IdentitiesMapped) => {}
            _ => {
                return Err(Refusal::new(
                    Step::Spawn,
                    &io::ErrorKind::UnexpectedEof.into(),
                ));
            }
        }
        step("keep the right to mount", keep_right_to_mount())?;
    }
    match room.network {
        Network::Host => Ok(()),
        Network::Own => step("set up a network", network::set_up()),
    }
}

/// Puts the file system of process 1 together.
pub(super) fn arrange(room: &Room) -> Result<(), Refusal> {
    step("create a mount namespace", unshare(UnshareFlags::NEWNS))?;
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    step("separate mounts", mount_change("/", private))?;
    // Opened before anything is hidden: the code may be below /tmp.
    let code = held(&room.code)?;
    let kept = room.kept.iter().map(held);
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    let root = Path::new(STAGING);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    step("mount a root", mount("tmpfs", root, "tmpfs", flags, None))?;
    let mask = umask(Mode::empty());
    take_over(root)?;
    let new = |name: &str, mode: u32| {
        let made = DirBuilder::new().mode(mode).create(root.join(name));
        step(&format!("make /{name}"), made)
    };
    new("tmp", 0o1777)?;
    new("code", 0o755)?;
    new("proc", 0o555)?;
    bind(&link(&code), &root.join("code"))?;
    for (path, file) in room.kept.iter().zip(&kept) {
        let path = Path::new(path);
        let to = root.join(path.strip_prefix("/").unwrap_or(path));
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&to);
        step(&format!("make {}", path.display()), made)?;
        bind(&link(file), &to)?;
    }
    umask(mask);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let proc = mount("proc", root.join("proc"), "proc", flags, None);
    step("mount /proc", proc)?;
    step("change the root", change_root(root))?;
    step("give up the right to mount", give_up_rights())
}

/// Opens a directory only to mount it.
fn held(path: &OsString) -> Result<File, Refusal> {
    let flags = (OFlags::PATH | OFlags::DIRECTORY).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    step(&format!("open {}", Path::new(path).display()), opened)
}

/// The path of an open directory, whatever hides its name.
fn link(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Mounts each entry of this machine's root in the new one.
fn take_over(root: &Path) -> Result<(), Refusal> {
    for entry in step("read /", fs::read_dir("/"))? {
        let entry = step("read /", entry)?;
        let name = entry.file_name();
        if REPLACED.iter().any(|replaced| name == *replaced) {
            continue;
        }
        let (from, to) = (entry.path(), root.join(&name));
        let copy = |what: io::Result<()>| step(&format!("make {}", from.display()), what);
        let kind = step("read /", entry.file_type())?;
        if kind.is_symlink() {
            let target = step("read /", fs::read_link(&from))?;
            copy(std::os::unix::fs::symlink(target, &to))?;
        } else if kind.is_dir() {
            copy(DirBuilder::new().mode(0o755).create(&to))?;
            bind(&from, &to)?;
        } else {
            copy(File::create(&to).map(drop))?;
            bind(&from, &to)?;
        }
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<(), Refusal> {
    let shown = format!("mount {} in the sandbox", from.display());
    step(&shown, mount_bind_recursive(from, to))
}

fn change_root(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    // The old root comes to lie on the new one, and is taken off.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

#[expect(
    deprecated,
    reason = "only unsharing the descriptor table is unsafe, and these flags are for namespaces"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    Ok(rustix::thread::unshare(flags)?)
}

fn may(capability: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// The starter is executed, which takes the rights of a user other than root unless they are ambient.
fn keep_right_to_mount() -> io::Result<()> {
    let sets = capabilities(None)?;
    let inheritable = sets.inheritable | CapabilitySet::SYS_ADMIN;
    set_capabilities(
        None,
        CapabilitySets {
            inheritable,
            ..sets
        },
    )?;
    Ok(configure_capability_in_ambient_set(
        CapabilitySet::SYS_ADMIN,
        true,
    )?)
}

/// The function starts with what its user has, as if there were no sandbox.
fn give_up_rights() -> io::Result<()> {
    clear_ambient_capability_set()?;
    let sets = capabilities(None)?;
    let inheritable = CapabilitySet::empty();
    Ok(set_capabilities(
        None,
        CapabilitySets {
            inheritable,
            ..sets
        },
    )?)
}

fn step<T, E: Into<io::Error>>(step: &str, result: Result<T, E>) -> Result<T, Refusal> {
    result.map_err(|error| Refusal::new(Step::Arrange(step.to_owned()), &error.into()))
}
