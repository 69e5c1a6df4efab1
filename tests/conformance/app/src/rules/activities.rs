//! Background work.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use xpc_runtime::{Activity, ActivityState, Criteria, Error, Priority, on_launch_event};

use crate::case::{Case, Outcome};
use crate::client::FOR_EVER;

pub const CASES: &[Case] = &[
    Case::new("j", "work_that_was_registered_can_be_unregistered", unregister),
    Case::new("m", "launch_events_have_one_handler", launch_events),
    Case::new("j", "work_runs_once_or_again_and_again", runs).in_short_seconds(),
    Case::new("j", "work_goes_on_past_its_handlers_return", continues).in_short_seconds(),
    Case::new("j", "work_that_pauses_is_called_again", pauses).in_short_seconds(),
    Case::new("j", "who_checks_in_may_change_the_criteria", checks_in).in_short_seconds(),
];

const SECOND: Duration = Duration::from_secs(1);
const NAME: &str = "com.example.conformance.activity";

/// Registers work that hands its runs out.
fn register(criteria: &Criteria) -> Result<Receiver<Activity>, Error> {
    let (sender, runs) = channel();
    Activity::register(NAME, criteria, move |activity| sender.send(activity).unwrap_or_default())?;
    Ok(runs)
}

fn unregister() -> Outcome {
    let far = Criteria::every(SECOND * 100_000)
        .grace_period(SECOND * 1000)
        .priority(Priority::Maintenance)
        .allow_battery(false)
        .require_screen_sleep(true);
    let runs = register(&far)?;
    Activity::unregister(NAME);
    if cfg!(target_vendor = "apple") {
        // What libxpc does with the handler is its own business.
        assert!(runs.try_recv().is_err());
    } else {
        let end = runs.recv_timeout(FOR_EVER).err();
        assert_eq!(end, Some(RecvTimeoutError::Disconnected), "nothing is run, and the handler is gone");
    }
    Activity::unregister("com.example.conformance.nothing");
    Activity::unregister("with\0nul");
    assert!(matches!(Activity::register("with\0nul", &far, drop), Err(Error::Encode(_))));
    Ok(())
}

fn runs() -> Outcome {
    let runs = register(&Criteria::once(SECOND))?;
    runs.recv_timeout(FOR_EVER).expect("a run").done();
    assert!(runs.recv().is_err(), "that was all: the handler is gone");
    let runs = register(&Criteria::every(SECOND * 2))?;
    for _ in 0..3 {
        runs.recv_timeout(FOR_EVER).expect("a run").done();
    }
    Activity::unregister(NAME);
    let left = runs.iter().count();
    assert!(left <= 1, "one may have been under way, not {left}");
    Ok(())
}

fn continues() -> Outcome {
    let (sender, runs) = channel();
    Activity::register(NAME, &Criteria::every(SECOND), move |activity| {
        assert_eq!(activity.state(), ActivityState::Run);
        assert!(!activity.should_defer());
        sender.send(activity).unwrap_or_default();
    })?;
    let run = runs.recv_timeout(FOR_EVER).expect("a run");
    assert!(runs.recv_timeout(SECOND / 5).is_err(), "the next one waits for the end of this");
    assert_eq!(run.state(), ActivityState::Continue);
    drop(run);
    runs.recv_timeout(FOR_EVER).expect("the next run").done();
    Activity::unregister(NAME);
    Ok(())
}

fn pauses() -> Outcome {
    let (sender, calls) = channel();
    let mut count = 0;
    Activity::register(NAME, &Criteria::once(Duration::ZERO), move |activity| {
        count += 1;
        sender.send(count).unwrap_or_default();
        if count < 3 { activity.defer() } else { activity.done() }
    })?;
    assert_eq!(calls.iter().collect::<Vec<_>>(), [1, 2, 3]);
    Ok(())
}

fn checks_in() -> Outcome {
    let ((sender, criteria), (run, runs)) = (channel(), channel());
    let tell = sender.clone();
    let check_in = move |criteria: Option<Criteria>| {
        tell.send(criteria).unwrap_or_default();
        None
    };
    Activity::check_in(NAME, check_in, |_| panic!("there is nothing to be done"))?;
    assert_eq!(criteria.recv_timeout(FOR_EVER), Ok(None));

    let far = Criteria::every(SECOND * 1_000_000).priority(Priority::Utility).allow_battery(true);
    let before = register(&far)?;
    let check_in = move |criteria| {
        sender.send(criteria).unwrap_or_default();
        Some(Criteria::once(SECOND))
    };
    Activity::check_in(NAME, check_in, move |activity| run.send(activity).unwrap_or_default())?;
    assert_eq!(criteria.recv_timeout(FOR_EVER), Ok(Some(far)));
    runs.recv_timeout(FOR_EVER).expect("a run").done();
    assert!(before.recv().is_err(), "its handler is gone");
    Ok(())
}

fn launch_events() -> Outcome {
    let (sender, events) = channel();
    // The shim has an event there, and only a job of launchd's with `LaunchEvents` has others.
    let stream = "libxpc-shim.events";
    let handler = move |name: &str, event: xpc_runtime::Dictionary| {
        sender.send((name.to_owned(), event.len())).unwrap_or_default();
    };
    let set = on_launch_event(stream, handler);
    if cfg!(not(any(target_vendor = "apple", xpc_runtime_force_apple))) {
        assert!(matches!(set, Err(Error::Unsupported(_))));
        return Ok(());
    }
    set?;
    if cfg!(not(target_vendor = "apple")) {
        assert_eq!(events.recv_timeout(FOR_EVER), Ok(("an event".to_owned(), 1)));
    }
    assert!(matches!(on_launch_event(stream, |_, _| {}), Err(Error::Invalid(_))));
    Ok(())
}
