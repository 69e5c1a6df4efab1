//! `cargo xpc sign` without what the others do not do: nothing is read back, and the old bundle is left in the staging folder.
//! A copy is signed and takes the original's place all the same.

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use cargo_xpc::bundle::staging::Staging;
use cargo_xpc::bundle::{publish, tree};
use cargo_xpc::sign::identity::Passwords;
use cargo_xpc::sign::{self, Identity, SignRequest};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let app = args.first().context("usage: signing-alone X.app [IDENTITY URL]")?;
    let mut request = SignRequest::default();
    if let [_, identity, url] = args.as_slice() {
        request.identity = Identity::load(identity, None, &Passwords::none())?;
        request.timestamp = Some(url.clone());
    }
    let staging = Staging::begin(Utf8Path::new(app), || {})?;
    let bundle = staging.bundle();
    tree::succeed(staging.destination(), &bundle)?;
    let plan = sign::prepare(&bundle, &request)?;
    sign::execute(&plan, &bundle, &mut |_| {})?;
    publish::publish(&staging, publish::Replace::Atomic)?;
    std::mem::forget(staging);
    Ok(())
}
