//! launchd and libxpc take no orders of this kind.

use std::time::Duration;

use super::Connection;
use crate::Error;

const UNSUPPORTED: Error =
    Error::Unsupported("faults can be caused on the portable backend only: run this test on Linux");

pub(crate) fn kill_service(_name: &str) -> Result<bool, Error> {
    Err(UNSUPPORTED)
}

pub(crate) fn terminate_service(_name: &str) -> Result<bool, Error> {
    Err(UNSUPPORTED)
}

pub(crate) fn defer_activity(_identifier: &str) -> Result<bool, Error> {
    Err(UNSUPPORTED)
}

pub(crate) fn drop_replies(_connection: &Connection, _count: usize) -> Result<(), Error> {
    Err(UNSUPPORTED)
}

pub(crate) fn delay_messages(_connection: &Connection, _delay: Duration) -> Result<(), Error> {
    Err(UNSUPPORTED)
}
