//! Activities by `xpc-portable`'s clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use xpc_portable::activity;
pub(crate) use xpc_portable::activity::Activity;

use crate::activity::Criteria;
use crate::{ActivityState, Error};

type Handler = Box<dyn FnMut(Activity) + Send>;
type CheckIn = Box<dyn FnOnce(Option<Criteria>) -> Option<Criteria> + Send>;

/// For who checks in: what was registered, some of it done since.
static CRITERIA: Mutex<Option<HashMap<String, Criteria>>> = Mutex::new(None);

pub(crate) fn register(identifier: &str, criteria: &Criteria, handler: Handler) -> Result<(), Error> {
    if identifier.contains('\0') {
        return Err(xpc_object::EncodeError::NulInString(identifier.to_owned()).into());
    }
    let mut known = CRITERIA.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.retain(|identifier, _| activity::is_registered(identifier));
    known.insert(identifier.to_owned(), criteria.clone());
    activity::register(identifier, schedule(criteria), handler);
    Ok(())
}

pub(crate) fn check_in(identifier: &str, check_in: CheckIn, handler: Handler) -> Result<(), Error> {
    let known = CRITERIA.lock().unwrap_or_else(PoisonError::into_inner);
    let current = known.as_ref().and_then(|known| known.get(identifier)).cloned();
    drop(known);
    let current = current.filter(|_| activity::is_registered(identifier));
    match check_in(current.clone()).or(current) {
        Some(criteria) => register(identifier, &criteria, handler),
        // There is nothing to be done.
        None => Ok(()),
    }
}

pub(crate) fn unregister(identifier: &str) {
    activity::unregister(identifier);
}

pub(crate) fn state(activity: &Activity) -> ActivityState {
    if activity.is_in_handler() { ActivityState::Run } else { ActivityState::Continue }
}

/// What has a meaning here, with the defaults that an interval implies.
fn schedule(criteria: &Criteria) -> activity::Schedule {
    let interval = criteria.interval.filter(|_| criteria.repeating != Some(false));
    let half = criteria.interval.map(|interval| interval / 2);
    let delay = criteria.delay.or(half).unwrap_or(0);
    // Repeating without an interval: as soon as the delay allows it, and not without a pause.
    let repeating = criteria.repeating == Some(true) && criteria.interval.is_none();
    activity::Schedule { delay, interval: if repeating { Some(delay.max(1)) } else { interval } }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_interval_implies_repetition_and_half_of_it_as_delay() {
        let seconds = Duration::from_secs;
        let of = |criteria: Criteria| (schedule(&criteria).delay, schedule(&criteria).interval);
        assert_eq!(of(Criteria::every(seconds(60))), (30, Some(60)));
        assert_eq!(of(Criteria::every(seconds(60)).delay(seconds(5))), (5, Some(60)));
        assert_eq!(of(Criteria::every(seconds(60)).repeating(false)), (30, None));
        assert_eq!(of(Criteria::once(Duration::from_millis(1))), (1, None), "parts of a second count as one");
        assert_eq!(of(Criteria::default().delay(seconds(9)).repeating(true)), (9, Some(9)));
        assert_eq!(of(Criteria::default()), (0, None));
        assert_eq!(of(Criteria::default().repeating(true)), (0, Some(1)));
    }
}
