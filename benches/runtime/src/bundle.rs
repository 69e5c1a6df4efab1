//! The bundle of xpc-runtime's contender.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The last parts of the services' names; one program is all of them.
const SERVICES: [&str; 5] = ["echo", "queued", "sink", "map", "count"];

/// Makes the bundle in `folder`; returns the app's program.
pub fn make(folder: &Path, app: &Path, service: &Path) -> Result<PathBuf> {
    let contents = folder.join("Bench.app/Contents");
    let program = contents.join("MacOS/bench");
    install(app, &program)?;
    for name in SERVICES {
        let contents = contents.join(format!("XPCServices/{name}.xpc/Contents"));
        install(service, &contents.join("MacOS").join(name))?;
        let plist = format!(
            "<plist version=\"1.0\"><dict><key>CFBundleIdentifier</key><string>com.example.bench.{name}</string>\
             <key>CFBundleExecutable</key><string>{name}</string><key>CFBundlePackageType</key><string>XPC!</string></dict></plist>"
        );
        fs::write(contents.join("Info.plist"), plist)?;
    }
    Ok(program)
}

fn install(program: &Path, destination: &Path) -> Result<()> {
    fs::create_dir_all(destination.parent().unwrap_or(destination))?;
    fs::copy(program, destination)?;
    Ok(())
}
