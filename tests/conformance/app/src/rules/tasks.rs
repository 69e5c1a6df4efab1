//! Asynchronous handlers.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use conformance_service::SERVICE;
use xpc_runtime::{Connection, Dictionary, Error, Listener, Message, Session, Spawner};

use crate::case::{Case, Outcome};
use crate::client::{FOR_EVER, ask, block_on, connect, op};

pub const CASES: &[Case] = &[
    Case::new("l", "an_asynchronous_handler_answers_another_process", answers),
    Case::new("l", "asynchronous_handlers_begin_in_order_and_up_to_a_bound", bound),
    Case::new("l", "an_asynchronous_handler_may_ask_on_its_own_connection", asks_back),
    Case::new("l", "asynchronous_handlers_of_a_session_take_turns_and_may_ask_on_it", session),
];

fn answers() -> Outcome {
    let listener = Listener::anonymous().activate(|peer| {
        peer.on_message_async(&Spawner::bundled(), |_, message| async move {
            // Another service is asked before there is an answer.
            let other = Connection::service(conformance_service::OTHER).activate();
            let asked = other.send_with_reply(&op("who")).with_timeout(FOR_EVER).await?;
            message.reply().with("other", asked.uint64("pid")?).with("pid", std::process::id()).send()
        })
        .activate();
    });
    let (connection, _events) = connect(SERVICE);
    let reply = ask(&connection, &op("call-endpoint").with("endpoint", listener.endpoint()))?;
    assert_eq!(reply.uint64("pid")?, std::process::id().into());
    assert_ne!(reply.uint64("other")?, reply.uint64("pid")?);
    Ok(())
}

fn bound() -> Outcome {
    let (sender, begun) = channel();
    let kept = Arc::<Mutex<Vec<Message>>>::default();
    let keeps = kept.clone();
    let listener = Listener::anonymous().activate(move |peer| {
        let (sender, kept) = (sender.clone(), keeps.clone());
        peer.on_message_async(&Spawner::bundled().max_in_flight(2), move |connection, message| {
            sender.send(message.uint64("n").unwrap_or(u64::MAX)).unwrap_or_default();
            // Nobody answers that before it is told to.
            let permission = connection.send_with_reply(&Dictionary::new());
            let kept = kept.clone();
            async move {
                permission.await?;
                kept.lock().expect("nobody panics").push(message);
                Ok::<_, Error>(())
            }
        })
        .activate();
    });
    let (permissions, asked) = channel();
    let connection = Connection::from_endpoint(&listener.endpoint())
        .on_message(move |_, message| permissions.send(message).unwrap_or_default())
        .activate();
    for n in 0..6_u64 {
        connection.send(&Dictionary::new().with("n", n))?;
    }
    let ask_for = |n| {
        assert_eq!(begun.recv_timeout(FOR_EVER), Ok(n));
        asked.recv_timeout(FOR_EVER).expect("its permission is asked for")
    };
    let mut waiting = vec![ask_for(0), ask_for(1)];
    for n in 2..6 {
        assert!(begun.try_recv().is_err(), "no more than two at a time");
        waiting.remove(0).reply().send()?;
        waiting.push(ask_for(n));
    }
    for message in waiting {
        message.reply().send()?;
    }
    drop(listener);
    Ok(())
}

fn asks_back() -> Outcome {
    let (sender, told) = channel();
    let connection = Connection::service(SERVICE)
        .on_message_async(&Spawner::bundled().max_in_flight(1), move |connection, _message| {
            let reply = connection.send_with_reply(&op("echo"));
            let sender = sender.clone();
            async move { sender.send(reply.await.is_ok()).unwrap_or_default() }
        })
        .activate();
    block_on(connection.send_with_reply(&op("tell")))?;
    assert_eq!(told.recv_timeout(FOR_EVER), Ok(true));
    Ok(())
}

fn session() -> Outcome {
    let (sender, seen) = channel();
    let over = sender.clone();
    let session = Session::service(SERVICE)
        .on_message_async(&Spawner::bundled().max_in_flight(1), move |session, _message| {
            sender.send("begun").unwrap_or_default();
            let reply = session.send_with_reply(&op("echo"));
            let sender = sender.clone();
            async move { sender.send(if reply.await.is_ok() { "answered" } else { "failed" }).unwrap_or_default() }
        })
        .on_cancelled(move |_, _| over.send("over").unwrap_or_default())
        .activate()?;
    for _ in 0..10 {
        session.send(&op("tell"))?;
    }
    for _ in 0..10 {
        assert_eq!(seen.recv_timeout(FOR_EVER), Ok("begun"));
        assert_eq!(seen.recv_timeout(FOR_EVER), Ok("answered"));
    }
    session.send(&op("cancel"))?;
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok("over"));
    assert!(seen.recv_timeout(FOR_EVER).is_err(), "the handlers are gone");
    Ok(())
}
