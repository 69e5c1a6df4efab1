//! RSASSA-PSS, in signatures of code and in certificates, as OpenSSL makes them.

use std::process::Command;

use camino::Utf8PathBuf;
use cargo_xpc::macho::{MachFile, slot};
use cargo_xpc::verify::{Anchor, What, verify};

use crate::fixture::{App, TOOL_INTEL, write};
use crate::identity::{fixture, sign, signatures};

struct Authority {
    _folder: tempfile::TempDir,
    at: Utf8PathBuf,
}

const LEAF: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,codeSigning\n";

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        write(&at.join("leaf.ext"), LEAF);
        Self { _folder: folder, at }
    }

    fn openssl(&self, args: &str) {
        let output = Command::new("openssl").args(args.split_whitespace()).current_dir(&self.at).output();
        let output = output.expect("openssl is not there: `apt-get install openssl`");
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A root and a signer below it. `padding` is of the signatures on both, `root` and `leaf` say of what kind the keys are.
    fn issue(&self, padding: &str, root: &str, leaf: &str) {
        let usage = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
        self.openssl(&format!(
            "req -x509 {root} -nodes -keyout root.key -out root.crt -subj /CN=Root -days 99 {usage} {padding}"
        ));
        self.openssl(&format!("req {leaf} -nodes -keyout leaf.key -out leaf.csr -subj /CN=Signer"));
        self.openssl(&format!(
            "x509 -req -in leaf.csr -CA root.crt -CAkey root.key -CAcreateserial -days 99 -extfile leaf.ext -out leaf.crt {padding}"
        ));
    }

    /// A signature of the signer's on the code directory of the app's program, in place of the one that is there.
    fn sign(&self, app: &App, options: &str) {
        write(&self.at.join("directory"), directory(app));
        self.openssl(&format!(
            "cms -sign -binary -in directory -outform DER -signer leaf.crt -inkey leaf.key -certfile root.crt -out cms {options}"
        ));
        put_cms(app, &fs_err::read(self.at.join("cms")).unwrap());
    }
}

/// The code directory of the app's program.
pub fn directory(app: &App) -> Vec<u8> {
    signatures(&app.path("MacOS/demo"))[0].blob(slot::CODE_DIRECTORY).unwrap().to_vec()
}

/// Puts a CMS signature into the app's program, in place of the one that is there, which is not smaller.
pub fn put_cms(app: &App, cms: &[u8]) {
    let path = app.path("MacOS/demo");
    let (mut bytes, file) = MachFile::load(&path).unwrap();
    let signature = file.slices[0].read_signature(&bytes).unwrap().unwrap();
    let start = file.slices[0].signature.clone().unwrap().start;
    let blob = &signature.blobs.iter().find(|blob| blob.slot == slot::CMS).unwrap().range;
    assert!(signature.blobs.iter().all(|other| other.range.start <= blob.start), "it is the last one");
    assert!(blob.start + 8 + cms.len() <= signature.reserved, "{} bytes do not fit", cms.len());
    let mut put = |at: usize, with: &[u8]| bytes[start + at..start + at + with.len()].copy_from_slice(with);
    put(blob.start, &vec![0; signature.reserved - blob.start]);
    put(4, &((blob.start + 8 + cms.len()) as u32).to_be_bytes());
    put(blob.start, &0xfade_0b01_u32.to_be_bytes());
    put(blob.start + 4, &((8 + cms.len()) as u32).to_be_bytes());
    put(blob.start + 8, cms);
    fs_err::write(&path, bytes).unwrap();
}

/// Signed by somebody else first, so that there is room.
pub fn app() -> App {
    let app = App::bare(TOOL_INTEL);
    let identity = fixture("chain.p12");
    // Whoever signs it then, the code satisfies its own requirement.
    let requirement = "=identifier com.example.demo";
    sign(&app, &["--identity", &identity, "--password-env", "PASSWORD_OF_TEST", "--requirements", requirement]);
    app
}

fn found(app: &App) -> Vec<(What, String)> {
    verify(&app.root).unwrap().findings.into_iter().map(|finding| (finding.what, finding.found)).collect()
}

const RSA: &str = "-newkey rsa:2048";
const PSS: &str = "-sigopt rsa_padding_mode:pss";

#[test]
fn signatures_and_certificates_of_every_hash_and_salt_hold() {
    let app = app();
    let pss_key = "-newkey rsa-pss -pkeyopt rsa_keygen_bits:2048";
    let bound = format!(
        "{pss_key} -pkeyopt rsa_pss_keygen_md:sha384 -pkeyopt rsa_pss_keygen_mgf1_md:sha384 -pkeyopt rsa_pss_keygen_saltlen:32"
    );
    let mixed = bound.replace("mgf1_md:sha384", "mgf1_md:sha256");
    for (padding, root, leaf, options) in [
        ("-sha256", RSA, RSA, "-md sha256"),
        ("-sha1", RSA, RSA, "-md sha1"),
        ("-sha384", RSA, RSA, "-md sha384 -keyopt rsa_pss_saltlen:digest"),
        ("-sha512", RSA, RSA, "-md sha512 -keyopt rsa_pss_saltlen:max"),
        // The mask is made with another hash than the message's.
        ("-sha256 -sigopt rsa_mgf1_md:sha1", RSA, RSA, "-md sha256 -keyopt rsa_mgf1_md:sha1"),
        ("-sha1 -sigopt rsa_mgf1_md:sha512", RSA, RSA, "-md sha512 -keyopt rsa_mgf1_md:sha384"),
        ("-sha384", &mixed, &mixed, "-md sha384 -keyopt rsa_pss_saltlen:48"),
        ("-sha256 -sigopt rsa_pss_saltlen:0", RSA, RSA, "-md sha256 -keyopt rsa_pss_saltlen:0"),
        // The salt's length takes two bytes, and the modulus no whole number of them.
        ("-sha256 -sigopt rsa_pss_saltlen:max", "-newkey rsa:4096", "-newkey rsa:2049", "-md sha256"),
        // Keys that make no other signatures, and that are bound to a hash.
        ("-sha256", pss_key, pss_key, "-md sha256"),
        ("-sha384", &bound, &bound, "-md sha384 -keyopt rsa_pss_saltlen:48"),
    ] {
        let authority = Authority::new();
        authority.issue(&format!("{PSS} {padding}"), root, leaf);
        authority.sign(&app, &format!("-keyopt rsa_padding_mode:pss {options}"));
        let report = verify(&app.root).unwrap();
        assert_eq!(report.findings, [], "{padding}, {options}");
        let signer = report.code[0].signer.as_ref().unwrap();
        let chain: Vec<_> = signer.chain.iter().map(|certificate| certificate.subject.as_str()).collect();
        assert_eq!((signer.anchor, chain), (Anchor::Private, vec!["Signer", "Root"]), "{padding}, {options}");
    }
}

#[test]
fn what_does_not_hold_is_found() {
    let app = app();
    let authority = Authority::new();
    authority.issue(&format!("{PSS} -sha256"), RSA, RSA);
    authority.sign(&app, "-md sha256 -keyopt rsa_padding_mode:pss");
    assert_eq!(found(&app), []);
    let path = app.path("MacOS/demo");
    let original = fs_err::read(&path).unwrap();
    let cms = fs_err::read(authority.at.join("cms")).unwrap();
    let start = original.windows(cms.len()).position(|it| it == cms).unwrap();
    // The algorithm with its parameters, and the signature, are the last.
    for at in cms.len() - 256 - 4 - 60..cms.len() {
        let mut changed = original.clone();
        changed[start + at] ^= 1 << (at % 8);
        fs_err::write(&path, changed).unwrap();
        let kinds: Vec<_> = found(&app).into_iter().map(|(what, _)| what).collect();
        assert!(kinds.contains(&What::CmsBroken) || kinds.contains(&What::CmsDamaged), "{at}: {kinds:?}");
    }
    // The mask is made with a hash that is not known here.
    authority.sign(&app, "-md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha224");
    let problems = found(&app);
    assert!(
        problems.iter().any(|(what, found)| *what == What::CmsBroken && found.contains("parameters of RSASSA-PSS")),
        "{problems:?}"
    );
    // A certificate whose signature is of the old padding, and one that another root issued.
    fs_err::copy(authority.at.join("root.key"), authority.at.join("old.key")).unwrap();
    authority.issue(&format!("{PSS} -sha256"), RSA, RSA);
    authority.openssl("req -x509 -key old.key -out root.crt -subj /CN=Root -days 99");
    authority.sign(&app, "-md sha256 -keyopt rsa_padding_mode:pss");
    let problems = found(&app);
    assert!(
        problems.iter().any(|(what, found)| *what == What::CertificateUnsound && found.contains("is not by `Root`")),
        "{problems:?}"
    );
}
