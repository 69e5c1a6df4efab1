//! Who the other side has to be.

use std::fmt;
use std::path::Path;

use xpc_object::Dictionary;

use crate::connection::{Inactive, Role};
use crate::error::neutral;
use crate::listener::{InactiveListener, Kind};
use crate::session::InactiveSession;
use crate::{Error, Message, backend};

/// Who the other side of a connection has to be. What comes from anybody else never reaches a handler.
///
/// A value of this type is a valid requirement that this system can compare a peer with: whatever is wrong is the
/// constructor's error, and so is a system that is too old, by the name of the version it would need.
///
/// | requirement | on Apple platforms | on Linux |
/// |---|---|---|
/// | [`code_signing`](Self::code_signing) | macOS 12; sessions 14.4 | – |
/// | [`entitlement`](Self::entitlement), [`entitlement_value`](Self::entitlement_value), [`team_identity`](Self::team_identity), [`platform_identity`](Self::platform_identity), [`lightweight`](Self::lightweight) | macOS 14.4; sessions, and [`Message::require_sender`], 26 | – |
/// | [`same_user`](Self::same_user), [`same_bundle`](Self::same_bundle), [`executable`](Self::executable) | – | yes |
///
/// On Linux nothing vouches for a program. What the kernel says of the process that opened the connection, or took it
/// over, is compared; that finds mistakes, and keeps other users out, but not a program of the same user that means
/// harm.
///
/// ```
/// use xpc_runtime::{Error, PeerRequirement};
///
/// // On macOS a program of the same team, elsewhere one of the same app.
/// let requirement = PeerRequirement::team_identity(None)
///     .or_else(|error| if cfg!(target_vendor = "apple") { Err(error) } else { PeerRequirement::same_user() })?;
/// # Ok::<(), Error>(())
/// ```
///
/// # What a peer is told that is not the right one
/// Its messages are dropped; its requests fail, on Linux with [`Error::Interrupted`]. What happens on macOS Apple does
/// not say. [`Inactive::on_peer_rejected`] tells this side.
#[doc(alias = "xpc_peer_requirement_t")]
#[derive(Clone)]
pub struct PeerRequirement(pub(crate) backend::PeerRequirement);

/// What an entitlement has to be: `true` or `false`, an integer or a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntitlementValue {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int64(i64),
    /// A string.
    String(String),
}

impl From<bool> for EntitlementValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for EntitlementValue {
    fn from(value: i64) -> Self {
        Self::Int64(value)
    }
}

impl From<&str> for EntitlementValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for EntitlementValue {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl PeerRequirement {
    /// Its code signature meets this requirement, in Apple's language: `identifier "com.example.app" and anchor apple
    /// generic and …`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before macOS 12, and elsewhere; [`Error::InvalidRequirement`] for what is none.
    #[doc(alias = "xpc_connection_set_peer_code_signing_requirement")]
    #[doc(alias = "xpc_session_set_peer_code_signing_requirement")]
    #[doc(alias = "xpc_listener_set_peer_code_signing_requirement")]
    pub fn code_signing(requirement: &str) -> Result<Self, Error> {
        backend::requirement::code_signing(requirement).map(Self)
    }

    /// It has this entitlement, whatever its value.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before macOS 14.4, and elsewhere; [`Error::InvalidRequirement`].
    #[doc(alias = "xpc_connection_set_peer_entitlement_exists_requirement")]
    #[doc(alias = "xpc_peer_requirement_create_entitlement_exists")]
    pub fn entitlement(name: &str) -> Result<Self, Error> {
        backend::requirement::entitlement(name).map(Self)
    }

    /// It has this entitlement with this value.
    ///
    /// # Errors
    /// As for [`entitlement`](Self::entitlement).
    #[doc(alias = "xpc_connection_set_peer_entitlement_matches_value_requirement")]
    #[doc(alias = "xpc_peer_requirement_create_entitlement_matches_value")]
    pub fn entitlement_value(name: &str, value: impl Into<EntitlementValue>) -> Result<Self, Error> {
        backend::requirement::entitlement_value(name, &value.into()).map(Self)
    }

    /// It is signed by the team that signed this process, with an identity of Apple's, and has this signing identifier
    /// where one is given.
    ///
    /// # Errors
    /// As for [`entitlement`](Self::entitlement).
    #[doc(alias = "xpc_connection_set_peer_team_identity_requirement")]
    #[doc(alias = "xpc_peer_requirement_create_team_identity")]
    pub fn team_identity(signing_identifier: Option<&str>) -> Result<Self, Error> {
        backend::requirement::team_identity(signing_identifier).map(Self)
    }

    /// It is a part of the operating system, and has this signing identifier where one is given.
    ///
    /// # Errors
    /// As for [`entitlement`](Self::entitlement).
    #[doc(alias = "xpc_connection_set_peer_platform_identity_requirement")]
    #[doc(alias = "xpc_peer_requirement_create_platform_identity")]
    pub fn platform_identity(signing_identifier: Option<&str>) -> Result<Self, Error> {
        backend::requirement::platform_identity(signing_identifier).map(Self)
    }

    /// It meets this lightweight code requirement: a dictionary of constraints, with `$and`, `$or` and the like, as
    /// Apple's "Defining launch environment and library constraints" has it. For what no other requirement says, and for
    /// several at once: a connection takes one requirement.
    ///
    /// # Errors
    /// As for [`entitlement`](Self::entitlement); [`Error::Encode`].
    #[doc(alias = "xpc_connection_set_peer_lightweight_code_requirement")]
    #[doc(alias = "xpc_peer_requirement_create_lwcr")]
    pub fn lightweight(requirement: &Dictionary) -> Result<Self, Error> {
        backend::requirement::lightweight(requirement).map(Self)
    }

    /// It runs as the effective user of this process.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on Apple platforms: compare [`Inactive::euid`] there.
    pub fn same_user() -> Result<Self, Error> {
        backend::requirement::same_user().map(Self)
    }

    /// Its executable lies in the app's bundle that this process belongs to. A sandboxed service cannot tell, and
    /// rejects everybody.
    ///
    /// # Errors
    /// [`Error::InvalidRequirement`] outside of any bundle. [`Error::Unsupported`] on Apple platforms, where the place of
    /// a program says nothing of it: [`team_identity`](Self::team_identity) does.
    pub fn same_bundle() -> Result<Self, Error> {
        backend::requirement::same_bundle().map(Self)
    }

    /// It runs the program at this path; symlinks are followed now. A sandboxed service cannot tell, and rejects
    /// everybody.
    ///
    /// # Errors
    /// [`Error::InvalidRequirement`] where there is no such file; [`Error::Unsupported`] on Apple platforms, as above.
    pub fn executable(path: impl AsRef<Path>) -> Result<Self, Error> {
        backend::requirement::executable(path.as_ref()).map(Self)
    }
}

impl fmt::Debug for PeerRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<R: Role> Inactive<R> {
    /// Has everything dropped that comes from a peer who does not meet this. A request of this side's that such a peer
    /// answers fails with [`Error::PeerRejected`]. What is sent is not held back. A connection takes one requirement:
    /// this one, in place of any before.
    #[doc(alias = "xpc_connection_set_peer_requirement")]
    pub fn require_peer(mut self, requirement: &PeerRequirement) -> Self {
        self.connection.require_peer(&requirement.0);
        self
    }
}

impl<K: Kind> InactiveListener<K> {
    /// Has everything dropped that comes from a client who does not meet this; it may still be seen to connect. The
    /// peers may get requirements of their own. A listener takes one requirement: this one, in place of any before.
    #[doc(alias = "xpc_connection_set_peer_requirement")]
    #[doc(alias = "xpc_listener_set_peer_requirement")]
    pub fn require_peer(mut self, requirement: &PeerRequirement) -> Self {
        self.requirement = Some(requirement.0.clone());
        self
    }
}

impl InactiveSession {
    /// Ends the session as soon as something comes from a service that does not meet this: pending requests fail with
    /// [`Error::PeerRejected`], or on macOS with [`Error::Invalid`], which says so in words. A session takes one requirement: this one, in place of any before. Where the system is too
    /// old, [`activate`](Self::activate) says so: sessions take code-signing requirements from macOS 14.4 on, others
    /// from 26 on.
    #[doc(alias = "xpc_session_set_peer_requirement")]
    #[doc(alias = "xpc_session_set_peer_code_signing_requirement")]
    pub fn require_peer(mut self, requirement: &PeerRequirement) -> Self {
        self.settings.requirement = Some(requirement.0.clone());
        self
    }
}

impl Message {
    /// Compares the message's sender with a requirement, for handlers that serve several kinds of clients.
    ///
    /// # Errors
    /// [`Error::PeerRejected`] where it is not met; [`Error::Unsupported`] before macOS 26, and there for
    /// [`PeerRequirement::code_signing`].
    #[doc(alias = "xpc_peer_requirement_match_received_message")]
    pub fn require_sender(&self, requirement: &PeerRequirement) -> Result<(), Error> {
        neutral(self.0.require_sender(&requirement.0))
    }
}
