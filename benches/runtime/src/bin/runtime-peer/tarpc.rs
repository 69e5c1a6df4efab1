//! tarpc over a Unix socket, with bincode and bytes as bytes; a Tokio runtime of one thread on each side.

use std::path::Path;

use ::tarpc::server::{BaseChannel, Channel as _};
use ::tarpc::tokio_serde::formats::Bincode;
use ::tarpc::{client, context, serde_transport};
use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use runtime_bench::{Case, LARGE, serve_batches};
use serde_bytes::ByteBuf;

use crate::{Server, listens};

#[::tarpc::service]
trait Bench {
    async fn nothing();
    async fn echo(data: ByteBuf) -> ByteBuf;
    async fn sink(data: ByteBuf);
}

#[derive(Clone)]
struct Handler;

impl Bench for Handler {
    async fn nothing(self, _: context::Context) {}

    async fn echo(self, _: context::Context, data: ByteBuf) -> ByteBuf {
        data
    }

    async fn sink(self, _: context::Context, data: ByteBuf) {
        drop(data);
    }
}

pub fn client(case: Case) -> Result<()> {
    let server = Server::start("tarpc", case)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(async {
        let mut transport = serde_transport::unix::connect(&server.socket, Bincode::default);
        transport.config_mut().max_frame_length(usize::MAX);
        anyhow::Ok(BenchClient::new(client::Config::default(), transport.await?).spawn())
    })?;
    let data = ByteBuf::from(vec![1; if let Case::RoundTrip(bytes) = case { bytes } else { LARGE }]);
    serve_batches(|count| {
        runtime.block_on(async {
            let begin = std::time::Instant::now();
            match case {
                Case::RoundTrip(0) => {
                    for _ in 0..count {
                        client.nothing(context::current()).await?;
                    }
                }
                Case::RoundTrip(bytes) => {
                    for _ in 0..count {
                        let echo = client.echo(context::current(), data.clone()).await?;
                        ensure!(echo.len() == bytes, "the echo differs");
                    }
                }
                Case::Bulk => {
                    for _ in 0..count {
                        client.sink(context::current(), data.clone()).await?;
                    }
                }
                other => bail!("tarpc does not do {other:?}"),
            }
            Ok(begin.elapsed())
        })
    })
}

pub fn server(place: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut listener = serde_transport::unix::listen(place, Bincode::default).await?;
        listener.config_mut().max_frame_length(usize::MAX);
        listens()?;
        let transport = listener.next().await.context("a client")??;
        let requests = BaseChannel::with_defaults(transport).execute(Handler.serve());
        // One after the other: there is one client, which waits for each reply, and a task for each would cost time.
        requests.for_each(|request| request).await;
        Ok(())
    })
}
