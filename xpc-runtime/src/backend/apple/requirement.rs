//! Peer requirements.
//!
//! C has two forms of them. Since macOS 26 they are objects, which are checked when they are made and may be given to
//! any number of connections. Before that there is one function for each kind, which sets it on one connection: whether
//! it is valid is found out with a connection that serves nothing else. A code-signing string is of the second form on
//! every system.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use xpc_object::Dictionary;
use xpc_runtime_sys::peer_requirement::*;
use xpc_runtime_sys::session::{xpc_session_set_peer_code_signing_requirement, xpc_session_set_peer_requirement};

use super::block::Block;
use super::message::Message;
use super::object::{self, Retained};
use super::raw::*;
use super::rich_error::RichError;
use crate::{EntitlementValue, Error};

#[derive(Clone)]
pub(crate) struct PeerRequirement(Arc<Valid>);

/// One that libxpc has accepted.
struct Valid {
    kind: Kind,
    /// Where the system has such objects, and one of this kind.
    object: Option<Retained>,
}

#[derive(Debug)]
enum Kind {
    CodeSigning(CString),
    Entitlement(CString),
    EntitlementValue(CString, Retained),
    TeamIdentity(Option<CString>),
    PlatformIdentity(Option<CString>),
    Lightweight(Retained),
}

const NEEDS_12: Error = Error::Unsupported("code-signing requirements of peers need macOS 12");
const NEEDS_14_4: Error = Error::Unsupported("requirements of peers other than `code_signing` need macOS 14.4");
const SESSION_NEEDS_14_4: Error = Error::Unsupported("code-signing requirements of sessions need macOS 14.4");
const SESSION_NEEDS_26: Error = Error::Unsupported(
    "requirements of sessions other than `code_signing` need macOS 26: use a `Connection` before that",
);
const MATCHING_NEEDS_26: Error =
    Error::Unsupported("comparing the sender of one message needs macOS 26: give the requirement to the connection");
const NO_MATCHING_OF_STRINGS: Error = Error::Unsupported(
    "libxpc compares a code-signing string with the peers of connections only: use another requirement, or give it to the connection",
);
const NOT_HERE: Error = Error::Unsupported(
    "on Apple platforms code signatures say who a peer is: use `team_identity` or `code_signing`, and `Inactive::euid` for its user",
);

pub(crate) fn code_signing(requirement: &str) -> Result<PeerRequirement, Error> {
    PeerRequirement::new(Kind::CodeSigning(text(requirement)?))
}

pub(crate) fn entitlement(name: &str) -> Result<PeerRequirement, Error> {
    PeerRequirement::new(Kind::Entitlement(text(name)?))
}

pub(crate) fn entitlement_value(name: &str, value: &EntitlementValue) -> Result<PeerRequirement, Error> {
    let name = text(name)?;
    // SAFETY: the string is copied. The result is owned and not null.
    let value = unsafe {
        Retained::owned(match value {
            EntitlementValue::Bool(value) => xpc_bool_create(*value),
            EntitlementValue::Int64(value) => xpc_int64_create(*value),
            EntitlementValue::String(value) => xpc_string_create(text(value)?.as_ptr()),
        })
    };
    PeerRequirement::new(Kind::EntitlementValue(name, value.expect("libxpc aborts where it cannot make an object")))
}

pub(crate) fn team_identity(identifier: Option<&str>) -> Result<PeerRequirement, Error> {
    PeerRequirement::new(Kind::TeamIdentity(identifier.map(text).transpose()?))
}

pub(crate) fn platform_identity(identifier: Option<&str>) -> Result<PeerRequirement, Error> {
    PeerRequirement::new(Kind::PlatformIdentity(identifier.map(text).transpose()?))
}

pub(crate) fn lightweight(requirement: &Dictionary) -> Result<PeerRequirement, Error> {
    PeerRequirement::new(Kind::Lightweight(object::dictionary(requirement)?))
}

pub(crate) fn same_user() -> Result<PeerRequirement, Error> {
    Err(NOT_HERE)
}

pub(crate) fn same_bundle() -> Result<PeerRequirement, Error> {
    Err(NOT_HERE)
}

pub(crate) fn executable(_path: &Path) -> Result<PeerRequirement, Error> {
    Err(NOT_HERE)
}

impl PeerRequirement {
    fn new(kind: Kind) -> Result<Self, Error> {
        let object = kind.object()?;
        if object.is_none() {
            kind.probe()?;
        }
        Ok(Self(Arc::new(Valid { kind, object })))
    }

    /// For a connection or a listener that is inactive, and has no requirement yet.
    pub(super) fn set_on_connection(&self, connection: &Retained) -> Result<(), Error> {
        if let Some((object, set)) = self.0.object.as_ref().zip(xpc_connection_set_peer_requirement()) {
            // SAFETY: an inactive connection and a requirement, which it keeps as long as it needs it.
            unsafe { set(connection.as_ptr(), object.as_ptr()) };
            return Ok(());
        }
        self.0.kind.set_on_connection(connection)
    }

    /// Finds how to set it on a session, before there is one.
    pub(super) fn setter_for_sessions(&self) -> Result<impl FnOnce(&Retained) -> Result<(), Error> + use<'_>, Error> {
        enum Setter<'a> {
            Object(&'a Retained, unsafe extern "C" fn(xpc_session_t, xpc_peer_requirement_t)),
            Text(&'a CStr, unsafe extern "C" fn(xpc_session_t, *const c_char) -> c_int),
        }
        let setter = match (&self.0.kind, &self.0.object) {
            (Kind::CodeSigning(text), _) => {
                Setter::Text(text, xpc_session_set_peer_code_signing_requirement().ok_or(SESSION_NEEDS_14_4)?)
            }
            (_, Some(object)) => Setter::Object(object, xpc_session_set_peer_requirement().ok_or(SESSION_NEEDS_26)?),
            (_, None) => return Err(SESSION_NEEDS_26),
        };
        Ok(move |session: &Retained| match setter {
            Setter::Object(object, set) => {
                // SAFETY: an inactive session and a requirement, which it retains.
                unsafe { set(session.as_ptr(), object.as_ptr()) };
                Ok(())
            }
            // SAFETY: an inactive session and a C string, which it copies.
            Setter::Text(text, set) => outcome(unsafe { set(session.as_ptr(), text.as_ptr()) }),
        })
    }
}

impl fmt::Debug for PeerRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.kind, f)
    }
}

impl Kind {
    /// The object, where the system has one for this kind.
    fn object(&self) -> Result<Option<Retained>, Error> {
        let mut error = ptr::null_mut();
        let or_null = |text: &Option<CString>| text.as_deref().map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: C strings and objects that live for the call. The result is owned, or null, and then the error is.
        let created = unsafe {
            match self {
                Self::CodeSigning(_) => None,
                Self::Entitlement(name) => {
                    xpc_peer_requirement_create_entitlement_exists().map(|create| create(name.as_ptr(), &raw mut error))
                }
                Self::EntitlementValue(name, value) => xpc_peer_requirement_create_entitlement_matches_value()
                    .map(|create| create(name.as_ptr(), value.as_ptr(), &raw mut error)),
                Self::TeamIdentity(identifier) => xpc_peer_requirement_create_team_identity()
                    .map(|create| create(or_null(identifier), &raw mut error)),
                Self::PlatformIdentity(identifier) => xpc_peer_requirement_create_platform_identity()
                    .map(|create| create(or_null(identifier), &raw mut error)),
                Self::Lightweight(requirement) => {
                    xpc_peer_requirement_create_lwcr().map(|create| create(requirement.as_ptr(), &raw mut error))
                }
            }
        };
        let Some(created) = created else { return Ok(None) };
        // SAFETY: an owned requirement and an owned error, or null.
        let (object, error) = unsafe { (Retained::owned(created), RichError::owned(error)) };
        match object {
            Some(object) => Ok(Some(object)),
            None => Err(Error::InvalidRequirement(error.description("libxpc refuses the requirement"))),
        }
    }

    fn set_on_connection(&self, connection: &Retained) -> Result<(), Error> {
        let connection = connection.as_ptr();
        let or_null = |text: &Option<CString>| text.as_deref().map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: an inactive connection; C strings and objects that live for the call, and are copied.
        let result = unsafe {
            match self {
                Self::CodeSigning(requirement) => {
                    let set = xpc_connection_set_peer_code_signing_requirement().ok_or(NEEDS_12)?;
                    set(connection, requirement.as_ptr())
                }
                Self::Entitlement(name) => {
                    let set = xpc_connection_set_peer_entitlement_exists_requirement().ok_or(NEEDS_14_4)?;
                    set(connection, name.as_ptr())
                }
                Self::EntitlementValue(name, value) => {
                    let set = xpc_connection_set_peer_entitlement_matches_value_requirement().ok_or(NEEDS_14_4)?;
                    set(connection, name.as_ptr(), value.as_ptr())
                }
                Self::TeamIdentity(identifier) => {
                    let set = xpc_connection_set_peer_team_identity_requirement().ok_or(NEEDS_14_4)?;
                    set(connection, or_null(identifier))
                }
                Self::PlatformIdentity(identifier) => {
                    let set = xpc_connection_set_peer_platform_identity_requirement().ok_or(NEEDS_14_4)?;
                    set(connection, or_null(identifier))
                }
                Self::Lightweight(requirement) => {
                    let set = xpc_connection_set_peer_lightweight_code_requirement().ok_or(NEEDS_14_4)?;
                    set(connection, requirement.as_ptr())
                }
            }
        };
        outcome(result)
    }

    /// Tries it on a listener that nobody has an endpoint of.
    fn probe(&self) -> Result<(), Error> {
        // SAFETY: no name makes an anonymous listener; the result is owned and not null.
        let listener = unsafe { Retained::owned(xpc_connection_create(ptr::null(), ptr::null_mut())) };
        let listener = listener.expect("libxpc aborts where it cannot make an object");
        let result = self.set_on_connection(&listener);
        let ignored = Block::handler(|_| {});
        // SAFETY: an inactive listener and a block with the signature of an event handler. It must be active before it
        // is released.
        unsafe {
            xpc_connection_set_event_handler(listener.as_ptr(), ignored.as_ptr());
            xpc_connection_activate(listener.as_ptr());
            xpc_connection_cancel(listener.as_ptr());
        }
        result
    }
}

impl Message {
    pub(crate) fn require_sender(&self, requirement: &PeerRequirement) -> Result<(), Error> {
        let Some(object) = &requirement.0.object else {
            return Err(match requirement.0.kind {
                Kind::CodeSigning(_) => NO_MATCHING_OF_STRINGS,
                _ => MATCHING_NEEDS_26,
            });
        };
        let matches = xpc_peer_requirement_match_received_message().ok_or(MATCHING_NEEDS_26)?;
        let mut error = ptr::null_mut();
        // SAFETY: a requirement and a received dictionary, both alive; where it does not match, the error is owned.
        let (met, error) = unsafe {
            let met = matches(object.as_ptr(), self.as_ptr(), &raw mut error);
            (met, RichError::owned(error))
        };
        if met {
            Ok(())
        } else {
            Err(Error::PeerRejected(error.description("the message's sender is not the right one")))
        }
    }
}

fn text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::InvalidRequirement(format!("{text:?} has a NUL in it").into()))
}

fn outcome(result: c_int) -> Result<(), Error> {
    match result {
        0 => Ok(()),
        code => {
            let reason = std::io::Error::from_raw_os_error(code);
            Err(Error::InvalidRequirement(format!("libxpc refuses the requirement: {reason}").into()))
        }
    }
}
