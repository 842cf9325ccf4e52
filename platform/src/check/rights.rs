//! S6: the function runs without rights, and leaves its code directory as it is.

use super::observation::{Break, Observation};
use super::subject::Subject;
use super::workspace::{Mode, copied, make_writable};
use crate::caller_error::CallerError;
use crate::instance::Instance;
use crate::instance::command::Circumstances;

const NOBODY: u32 = 65_534;
const SHOWN_MAX: usize = 3;
const FIX: &str =
    "write below /tmp only; what has to last belongs in a service outside the function";

/// S6: another user and a read-only copy of the code; then, did any instance write to its code directory?
pub(crate) fn without_rights(subject: &Subject) -> Observation {
    let folder = match copied(&subject.project.code, Mode::ReadOnly) {
        Ok(folder) => folder,
        Err(failure) => return Observation::Unseen(failure.to_string()),
    };
    let user = rustix::process::geteuid().is_root().then_some(NOBODY);
    let circumstances = Circumstances {
        user,
        ..Circumstances::default()
    };
    let project = subject.project.at(folder.path());
    let settings = subject.settings_beside();
    let served = match subject.start_project(&project, &settings, circumstances) {
        Ok(instance) => serves(subject, &instance),
        Err(not_started) if is_machines_fault(&not_started.error) => Err(Observation::Unseen(
            "the interpreter cannot be run by another user on this machine".to_owned(),
        )),
        Err(not_started) => Err(Break::not_started(not_started).into()),
    };
    make_writable(folder.path());
    let written = subject.workspace.written();
    match served {
        Err(Observation::Broken(broken)) => broken.into(),
        Ok(()) | Err(_) if !written.is_empty() => writes(&written),
        Err(unseen) => unseen,
        Ok(()) => {
            let who = user.map_or("this user", |_| "nobody");
            Observation::Held(format!("as {who}, code read-only"))
        }
    }
}

fn writes(files: &[String]) -> Observation {
    let shown = files[..files.len().min(SHOWN_MAX)].join(", ");
    let more = match files.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Break::new(format!("writes to the code directory: {shown}{more}"))
        .fix(FIX)
        .into()
}

/// Does it respond as the other instances do?
fn serves(subject: &Subject, instance: &Instance) -> Result<(), Observation> {
    let path = &subject.paths.plain;
    let context = format!("GET {path} where the code is read-only");
    let reply = subject.ask_once(instance, &subject.plain(instance));
    let usual = subject.plain_status();
    match (reply, usual) {
        _ if instance.process.ended().is_some() => Err(Break::new("it listened and then ended")
            .caller(CallerError::ProcessExited)
            .fix(FIX)
            .into()),
        (_, None) => Err(Observation::Unseen(
            "there is no response to compare with".to_owned(),
        )),
        (Ok(reply), Some(usual)) if reply.head.status >= 500 && usual < 500 => {
            Err(Break::new(format!("{context}: {}", reply.head.status))
                .fix(FIX)
                .into())
        }
        (Ok(_), Some(_)) => Ok(()),
        (Err(fault), Some(_)) => Err(subject.broken_by(&context, &fault).fix(FIX).into()),
    }
}

/// `EACCES` before the first line of output: the file could not even be opened by that user.
fn is_machines_fault(error: &CallerError) -> bool {
    if let CallerError::Exited { code, logs, .. } = error {
        matches!(code, 13 | 126 | 127) || logs.mentions("ermission denied")
    } else {
        false
    }
}
