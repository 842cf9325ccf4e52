//! The four forms of a request target (RFC 9112 §3.2), and where the parts of each are.

use super::fields::Span;
use super::index::{HeadIndex, TargetForm};
use crate::h1::authority::{is_authority_with_port, is_host};
use crate::h1::cursor::Cursor;
use crate::h1::refusal::Refusal;

/// RFC 9112 §3.2: where the target's path ends, which of the four forms it has, and whether its method allows that form.
pub(super) fn index_form(
    method: &[u8],
    target: &[u8],
    index: &mut HeadIndex,
) -> Result<(), Refusal> {
    index.authority = Span::default();
    let path_len = target.iter().position(|byte| *byte == b'?');
    let path_len = path_len.unwrap_or(target.len());
    let target_start = usize::from(index.target.start);
    index.path = Span::new(target_start, target_start.wrapping_add(path_len));
    let is_connect = method == b"CONNECT";
    index.form = match target {
        _ if is_connect => TargetForm::Authority,
        [b'/', ..] => TargetForm::Origin,
        b"*" if method == b"OPTIONS" => TargetForm::Asterisk,
        _ => TargetForm::Absolute,
    };
    match index.form {
        TargetForm::Origin | TargetForm::Asterisk => Ok(()),
        TargetForm::Authority => {
            index.authority = index.target;
            if is_authority_with_port(target) {
                Ok(())
            } else {
                Err(Refusal::Target)
            }
        }
        TargetForm::Absolute => {
            let scheme_len = scheme_len(target).ok_or(Refusal::Target)?;
            let rest = Cursor::at(target, scheme_len).rest();
            let authority_len = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .unwrap_or(rest.len());
            let authority = Cursor::new(rest).take(authority_len);
            // RFC 9110 §4.2.1: the host must not be empty, even if a port follows.
            if matches!(authority, [] | [b':', ..]) || !is_host(authority) {
                return Err(Refusal::Target);
            }
            let start = usize::from(index.target.start).saturating_add(scheme_len);
            index.authority = Span::new(start, start.saturating_add(authority_len));
            index.path.start = index.authority.end;
            Ok(())
        }
    }
}

/// The length of `http://` or `https://` (RFC 9110 §4.2), in upper or lower case.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], &b"https://"[..]]
        .into_iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map(<[u8]>::len)
}
