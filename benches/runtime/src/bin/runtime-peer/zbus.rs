//! zbus, peer to peer: no bus in between, its own proxy and interface macros, bytes as bytes.
//!
//! Both sides run on a Tokio runtime of one thread, which zbus then uses without any thread of its own; methods are
//! handled in order, without a task for each.

use std::path::Path;

use ::zbus::connection::Builder;
use ::zbus::{Guid, interface, proxy};
use anyhow::{Result, bail, ensure};
use runtime_bench::{Case, LARGE, serve_batches};
use serde_bytes::{ByteBuf, Bytes};
use tokio::net::{UnixListener, UnixStream};

use crate::{Server, listens};

const PATH: &str = "/com/example/Bench";

struct Bench {
    received: u64,
}

#[interface(name = "com.example.Bench", spawn = false)]
impl Bench {
    fn nothing(&self) {}

    fn echo(&self, data: ByteBuf) -> ByteBuf {
        data
    }

    fn sink(&self, data: ByteBuf) {
        drop(data);
    }

    fn count(&mut self) {
        self.received += 1;
    }

    fn ask(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }
}

#[proxy(interface = "com.example.Bench", default_path = "/com/example/Bench")]
trait Bench {
    fn nothing(&self) -> ::zbus::Result<()>;
    fn echo(&self, data: &Bytes) -> ::zbus::Result<ByteBuf>;
    fn sink(&self, data: &Bytes) -> ::zbus::Result<()>;
    #[zbus(no_reply)]
    fn count(&self) -> ::zbus::Result<()>;
    fn ask(&self) -> ::zbus::Result<u64>;
}

pub fn client(case: Case) -> Result<()> {
    let server = Server::start("zbus", case)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let proxy = runtime.block_on(async {
        let stream = UnixStream::connect(&server.socket).await?;
        let connection = Builder::unix_stream(stream.into_std()?).p2p().build().await?;
        anyhow::Ok(BenchProxy::builder(&connection).destination("com.example.Bench").build().await?)
    })?;
    let data = vec![1; if let Case::RoundTrip(bytes) = case { bytes } else { LARGE }];
    let data = Bytes::new(&data);
    serve_batches(|count| {
        runtime.block_on(async {
            let begin = std::time::Instant::now();
            match case {
                Case::RoundTrip(0) => {
                    for _ in 0..count {
                        proxy.nothing().await?;
                    }
                }
                Case::RoundTrip(bytes) => {
                    for _ in 0..count {
                        ensure!(proxy.echo(data).await?.len() == bytes, "the echo differs");
                    }
                }
                Case::Bulk => {
                    for _ in 0..count {
                        proxy.sink(data).await?;
                    }
                }
                Case::OneWay(1) => {
                    for _ in 0..count {
                        proxy.count().await?;
                    }
                    let received = proxy.ask().await?;
                    ensure!(received == count, "{received} of {count} messages have arrived");
                }
                other => bail!("zbus does not do {other:?}"),
            }
            Ok(begin.elapsed())
        })
    })
}

pub fn server(place: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(place)?;
        listens()?;
        let (stream, _) = listener.accept().await?;
        let connection = Builder::unix_stream(stream.into_std()?)
            .server(Guid::generate())
            .p2p()
            .serve_at(PATH, Bench { received: 0 })
            .build()
            .await?;
        // The client kills this process; until then the connection works by itself.
        std::future::pending::<()>().await;
        drop(connection);
        Ok(())
    })
}
