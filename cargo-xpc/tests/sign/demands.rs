//! What signatures demand: designated requirements and launch constraints that somebody gave.

use cargo_xpc::macho::CdHash;

use crate::fixture::{App, tool, write};
use crate::identity::{fixture, run, sign, signatures};

/// The designated requirement as the blob in a signature has it.
fn designated(app: &App, code: &str) -> Vec<u8> {
    let signature = &signatures(&app.path(code))[0];
    let set = signature.blob(2).unwrap();
    let word = |at: usize| u32::from_be_bytes(set[at..at + 4].try_into().unwrap()) as usize;
    // One requirement, and it is the designated one.
    assert_eq!((word(8), word(12)), (1, 3));
    set[word(16)..].to_vec()
}

#[test]
fn a_given_requirement_stands_in_the_signature_and_in_the_seal_around_it() {
    let app = App::full();
    let file = app.root.with_file_name("requirement");
    write(&file, "designated => identifier \"com.example.demo\" /* nobody else's */\n");
    let identity = fixture("plain.pem");
    for identity in [&[][..], &["--identity", &identity]] {
        let text = "greeter.xpc==identifier com.example.demo.greeter and info [CFBundleName] = *\"greet\"*";
        let args = [identity, &["--requirements", file.as_str(), "--requirements", text]].concat();
        sign(&app, &args);
        let contains = |code: &str, needle: &[u8]| designated(&app, code).windows(needle.len()).any(|it| it == needle);
        let words = [0xfade_0c00_u32, 36, 1, 2, 16].map(u32::to_be_bytes).concat();
        assert_eq!(designated(&app, "MacOS/demo"), [&words, &b"com.example.demo"[..]].concat());
        // matchContains, five bytes, padded.
        let contained = [&2_u32.to_be_bytes()[..], &5_u32.to_be_bytes(), b"greet\0\0\0"].concat();
        assert!(contains("XPCServices/greeter.xpc/Contents/MacOS/greeter", &contained));
        let seal = plist::Value::from_file(app.path("_CodeSignature/CodeResources")).unwrap();
        let files = seal.as_dictionary().unwrap()["files2"].as_dictionary().unwrap();
        let greeter = files["XPCServices/greeter.xpc"].as_dictionary().unwrap();
        let expected = "identifier \"com.example.demo.greeter\" and info [\"CFBundleName\"] = *\"greet\"*";
        assert_eq!(greeter["requirement"].as_string(), Some(expected));
    }
    let (code, plan, _) = run(&app, &["sign", "Demo.app", "--dry-run", "--requirements", "=identifier a or never"]);
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let main = plan["signatures"].as_array().unwrap().last().unwrap();
    assert_eq!((code, main["requirement"].as_str()), (0, Some("identifier \"a\" or never")));
}

#[test]
fn launch_constraints_are_sealed_in_the_programs_that_they_are_for() {
    let app = App::full();
    let at = |name: &str| app.root.with_file_name(name);
    let list = |body: &str| format!("<plist version=\"1.0\"><dict>{body}</dict></plist>");
    write(&at("team"), list("<key>team-identifier</key><string>TEAM123456</string>"));
    write(
        &at("parent"),
        list("<key>signing-identifier</key><dict><key>$in</key><array><string>a</string></array></dict>"),
    );
    let (team, parent) = (at("team").into_string(), at("parent").into_string());
    let scoped = format!("greeter.xpc={parent}");
    sign(
        &app,
        &[
            "--launch-constraint-self",
            &team,
            "--launch-constraint-parent",
            &scoped,
            "--launch-constraint-responsible",
            &format!("greeter.xpc={team}"),
        ],
    );
    let slots = |code: &str| -> Vec<u32> {
        let signature = &signatures(&app.path(code))[1];
        (8..=11).filter(|slot| signature.blob(*slot).is_some()).collect()
    };
    assert_eq!(slots("MacOS/demo"), [8]);
    assert_eq!(slots("XPCServices/greeter.xpc/Contents/MacOS/greeter"), [9, 10]);
    assert_eq!(slots("XPCServices/counter.xpc/Contents/MacOS/counter"), [0_u32; 0]);
    let signature = &signatures(&app.path("MacOS/demo"))[0];
    let blob = signature.blob(8).unwrap();
    assert!(blob.windows(15).any(|it| it == b"team-identifier") && blob.windows(10).any(|it| it == b"TEAM123456"));
    // They count: without them the program is another.
    let with: CdHash = signature.best_directory().cdhash;
    sign(&app, &[]);
    assert_ne!(signatures(&app.path("MacOS/demo"))[0].best_directory().cdhash, with);
}

#[test]
fn demands_that_cannot_be_made_are_refused() {
    let app = App::full();
    let before = app.content();
    let at = |name: &str| app.root.with_file_name(name).into_string();
    let list = |name: &str, body: &str| {
        write(at(name).as_str().into(), format!("<plist version=\"1.0\"><dict>{body}</dict></plist>"))
    };
    list("empty", "");
    list("real", "<key>a</key><real>1.5</real>");
    list("good", "<key>team-identifier</key><string>T</string>");
    write(at("blob").as_str().into(), [0xfa, 0xde, 0x0c, 0, 0, 0, 0, 12]);
    let library = format!("Answer.framework/Versions/B={}", at("good")).replace("Answer", "Contents/Frameworks/Answer");
    for (option, value, says) in [
        ("--launch-constraint-self", at("empty"), "it demands nothing"),
        ("--launch-constraint-parent", at("real"), "`a` is a real number"),
        ("--launch-constraint-responsible", at("nowhere"), "there is no such file"),
        ("--launch-constraint-self", library, "launch constraints belong to programs"),
        ("--requirements", "=identifier".to_owned(), "it ends where an identifier should stand"),
        ("--requirements", at("nowhere"), "there is no such file; a text begins with `=`"),
        ("--requirements", at("blob"), "csreq -r FILE -t"),
        ("--requirements", "nobody.xpc==always".to_owned(), "nothing to sign is called `nobody.xpc`"),
    ] {
        let (code, _, stderr) = run(&app, &["sign", "Demo.app", option, &value]);
        assert_eq!((code, stderr.contains(says)), (2, true), "{option} {value}: {stderr}");
        assert!(app.content() == before);
    }
    let twice = ["sign", "Demo.app", "--requirements", "=always", "--requirements", "=never"];
    let (code, _, stderr) = run(&app, &twice);
    assert_eq!((code, stderr.contains("given twice")), (2, true), "{stderr}");
    let bare = App::bare(&tool());
    let twice = ["--launch-constraint-self", &at("good"), "--launch-constraint-self", &at("good")];
    let (code, _, stderr) = run(&bare, &[&["sign", "Demo.app"], &twice[..]].concat());
    assert_eq!((code, stderr.contains("given twice")), (2, true), "{stderr}");
}

/// It was called a bug of this program.
#[test]
fn a_requirement_that_the_program_itself_does_not_meet_is_a_wrong_input() {
    let app = App::full();
    let before = app.content();
    let (code, _, stderr) = run(&app, &["sign", "Demo.app", "--requirements", "greeter.xpc==identifier other"]);
    assert_eq!(code, 2, "{stderr}");
    let says =
        "`Contents/XPCServices/greeter.xpc/Contents/MacOS/greeter` does not satisfy the requirement that was given";
    assert!(stderr.contains(says) && stderr.contains("correct --requirements"), "{stderr}");
    assert!(app.content() == before);
}
