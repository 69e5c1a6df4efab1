//! The tree that a person sees.

use cargo_xpc::inspect::{inspect, render};
use cargo_xpc::sign::SignRequest;

use crate::fixture::App;

#[test]
fn a_signed_app_is_shown() {
    let app = App::full();
    app.sign(&SignRequest { get_task_allow: true, ..SignRequest::default() });
    let text = render(&inspect(&app.root).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("Demo.app  com.example.demo 1.2.3 (7)  APPL  "), "{text}");
    for part in [
        "│  code          executable, x86_64 + arm64",
        "│  target        macOS 11.0 or later, SDK ",
        "│  libraries     1 of the system",
        "│  signature     ad hoc, as com.example.demo",
        "│  entitlement   com.apple.security.get-task-allow = true",
        "├─ Contents/Frameworks/Answer.framework  com.example.answer 1.2.3 (7)  FMWK  ",
        "│  └─ Contents/Frameworks/Answer.framework/Versions/A  com.example.answer",
        "├─ Contents/MacOS/helper  ",
        "└─ Contents/XPCServices/greeter.xpc  com.example.demo.greeter 1.2.3 (7)  XPC!  ",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "no `{part}` in\n{text}");
    }
    assert_eq!(text.matches("Answer.framework/Versions/B").count(), 0, "{text}");
}

#[test]
fn unsigned_and_elf_bundles_are_shown() {
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18] = 183;
    let text = render(&inspect(&App::bare(&elf).root).unwrap());
    assert!(text.contains("ELF aarch64") && text.contains("not signed"), "{text}");
    let text = render(&inspect(&App::bare(crate::fixture::TOOL_INTEL).root).unwrap());
    assert!(text.contains("signature     none"), "{text}");
    let text = render(&inspect(&App::bare(b"#!/bin/sh\n").root).unwrap());
    assert!(text.contains("is not Mach-O"), "{text}");
}

#[test]
fn the_tree_is_json() {
    let app = App::full();
    app.sign(&SignRequest::default());
    let json = serde_json::to_value(inspect(&app.root).unwrap()).unwrap();
    assert_eq!(json["code"]["format"], "mach-o");
    assert_eq!(json["code"]["slices"][0]["arch"], "x86_64");
    assert_eq!(json["code"]["slices"][0]["signature"]["ad-hoc"], true);
    assert_eq!(json["code"]["slices"][0]["target"]["minimum-os"], "11.0");
    assert_eq!(json["items"].as_array().unwrap().len(), 5);
}
