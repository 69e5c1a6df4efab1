//! Which services there are: those in the bundle that contains the running program, and in its frameworks.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use plist::{Dictionary, Value};
use rustix::event::{EventfdFlags, eventfd};

use crate::error::explain;
use crate::requirement::is_deleted;
use crate::sandbox::Policy;

/// Names the bundle whose services a program outside any bundle can reach: `cargo run`, `cargo test`.
pub const BUNDLE_VARIABLE: &str = "XPC_RUNTIME_BUNDLE";

/// Where `cargo xpc bundle` puts the entitlements of a program that has no signature to hold them.
const ENTITLEMENTS: &str = "Entitlements.plist";

/// What the launcher has to know of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub executable: PathBuf,
    pub environment: Vec<(String, String)>,
    pub joins_session: bool,
    /// `None`: it is not sandboxed.
    pub sandbox: Option<Policy>,
}

/// An app's bundle and its services, read once.
#[derive(Debug)]
struct Bundle {
    path: PathBuf,
    services: HashMap<String, Result<Service, String>>,
}

/// The service of this name in this process's bundle; otherwise the reason that the connection's handler is given.
pub(crate) fn find(name: &str) -> Result<Service, Arc<str>> {
    match own() {
        Ok(bundle) => bundle.find(name).map_err(Arc::from),
        Err(reason) => Err(format!("cannot connect to {name}: {reason}").into()),
    }
}

/// Where this process's bundle is; otherwise why it has none.
pub(crate) fn path() -> Result<&'static Path, String> {
    own().map(|bundle| bundle.path.as_path())
}

/// The identifier of the bundle whose executable this is.
pub(crate) fn identifier(program: &Path) -> Option<String> {
    let contents = program.parent().filter(|folder| folder.ends_with("MacOS"))?.parent()?;
    let info = Value::from_file(contents.join("Info.plist")).ok()?;
    text(info.as_dictionary()?, "CFBundleIdentifier").map(str::to_owned)
}

fn own() -> Result<&'static Bundle, String> {
    static BUNDLE: OnceLock<Result<Bundle, String>> = OnceLock::new();
    if BUNDLE.get().is_none() {
        // What cannot be read for now must not be remembered. A folder and a file in it:
        let spare = || eventfd(0, EventfdFlags::CLOEXEC);
        spare().and_then(|_first| spare()).map_err(explain)?;
    }
    let bundle = BUNDLE.get_or_init(|| {
        let executable =
            std::env::current_exe().map_err(|error| format!("cannot tell which program is running: {error}"))?;
        Bundle::read(&locate(&executable, std::env::var_os(BUNDLE_VARIABLE).as_deref())?)
    });
    bundle.as_ref().map_err(String::clone)
}

/// The innermost app that contains the program, else the one that the environment names.
fn locate(executable: &Path, variable: Option<&OsStr>) -> Result<PathBuf, String> {
    let containing = executable.ancestors().skip(1).find(|folder| {
        folder.extension().is_some_and(|extension| extension == "app" || extension == "appex")
            && folder.join("Contents").is_dir()
    });
    match (containing, variable) {
        (Some(folder), _) => Ok(folder.to_owned()),
        (None, Some(variable)) if !variable.is_empty() => Ok(variable.into()),
        (None, _) if is_deleted(executable) => Err(format!(
            "{}: the app was replaced or removed since it was started: start it again",
            executable.display()
        )),
        (None, _) => Err(format!(
            "{} is not inside an app's bundle. Start the app with `cargo xpc run`, or set {BUNDLE_VARIABLE}=<path of the .app> to use the services of that bundle",
            executable.display()
        )),
    }
}

impl Bundle {
    fn read(path: &Path) -> Result<Self, String> {
        // The launcher works in another directory than the program that named the bundle.
        let path =
            fs::canonicalize(path).map_err(|error| format!("cannot read the bundle {}: {error}", path.display()))?;
        let contents = path.join("Contents");
        let mut services = HashMap::new();
        for folder in std::iter::once(contents.clone()).chain(frameworks(&contents.join("Frameworks"))?) {
            for service in list(&folder.join("XPCServices"), "xpc")? {
                // The app's own come first. One broken service does not make the others unreachable, nor its own name's
                // error vague.
                let (name, service) = read_service(&service.join("Contents"))
                    .unwrap_or_else(|reason| (service.display().to_string(), Err(reason)));
                services.entry(name).or_insert(service);
            }
        }
        Ok(Self { path, services })
    }

    fn find(&self, name: &str) -> Result<Service, String> {
        if let Some(service) = self.services.get(name) {
            return service.clone();
        }
        let mut known: Vec<_> =
            self.services.iter().filter(|(_, service)| service.is_ok()).map(|(name, _)| name.as_str()).collect();
        known.sort_unstable();
        let mut reason = format!("no service named {name} in {}", self.path.display());
        reason += &match known.as_slice() {
            [] => ", which has no services".to_owned(),
            known => format!("; its services are {}", known.join(", ")),
        };
        for broken in self.services.values().filter_map(|service| service.as_ref().err()) {
            reason += "; ";
            reason += broken;
        }
        Err(reason)
    }
}

/// The folders of the frameworks in `folder` in which services may stand: the current version, where there are versions.
fn frameworks(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let versions = |framework: PathBuf| {
        Some(framework.join("Versions/Current")).filter(|current| current.is_dir()).unwrap_or(framework)
    };
    Ok(list(folder, "framework")?.into_iter().map(versions).collect())
}

/// What is in a folder with this extension, by name; nothing where there is no such folder.
fn list(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(cannot)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort_unstable();
    Ok(paths)
}

/// Name and description of the service whose `Contents` these are. A service that has a name but is otherwise broken is
/// found by that name.
fn read_service(contents: &Path) -> Result<(String, Result<Service, String>), String> {
    let path = contents.join("Info.plist");
    let broken = |what: &str| format!("{}: {what}", path.display());
    let info = Value::from_file(&path).map_err(|error| broken(&error.to_string()))?;
    let info = info.as_dictionary().ok_or_else(|| broken("not a dictionary"))?;
    let name = text(info, "CFBundleIdentifier").ok_or_else(|| broken("no CFBundleIdentifier"))?;
    let service = || {
        let executable = text(info, "CFBundleExecutable").ok_or_else(|| broken("no CFBundleExecutable"))?;
        let options = info.get("XPCService").and_then(Value::as_dictionary);
        let mut environment = Vec::new();
        if let Some(variables) =
            options.and_then(|options| options.get("EnvironmentVariables")).and_then(Value::as_dictionary)
        {
            for (key, value) in variables {
                let value = value
                    .as_string()
                    .ok_or_else(|| broken(&format!("the environment variable {key} is not a string")))?;
                environment.push((key.clone(), value.to_owned()));
            }
        }
        let joins_session =
            options.and_then(|options| options.get("JoinExistingSession")).and_then(Value::as_boolean).unwrap_or(false);
        Ok(Service {
            executable: contents.join("MacOS").join(executable),
            environment,
            joins_session,
            sandbox: read_sandbox(contents)?,
        })
    };
    Ok((name.to_owned(), service()))
}

fn read_sandbox(contents: &Path) -> Result<Option<Policy>, String> {
    let path = contents.join(ENTITLEMENTS);
    let broken = |what: &str| format!("{}: {what}", path.display());
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // Not taken for none: that would be no sandbox.
        Err(error) => return Err(broken(&error.to_string())),
    };
    let entitlements = Value::from_reader(std::io::Cursor::new(bytes)).map_err(|error| broken(&error.to_string()))?;
    let entitlements = entitlements.as_dictionary().ok_or_else(|| broken("not a dictionary"))?;
    Policy::from_entitlements(entitlements).map_err(|what| broken(&what))
}

fn text<'a>(dictionary: &'a Dictionary, key: &str) -> Option<&'a str> {
    dictionary.get(key).and_then(Value::as_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_service(app: &Path, name: &str, plist: &str) {
        write_service_in(&app.join("Contents"), name, plist);
    }

    fn write_service_in(folder: &Path, name: &str, plist: &str) {
        let contents = folder.join("XPCServices").join(name).join("Contents");
        fs::create_dir_all(&contents).unwrap();
        fs::write(contents.join("Info.plist"), format!("<plist version=\"1.0\"><dict>{plist}</dict></plist>")).unwrap();
    }

    #[test]
    fn a_program_inside_an_app_belongs_to_it_whatever_the_environment_says() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("A.app");
        let service = app.join("Contents/XPCServices/s.xpc/Contents/MacOS");
        fs::create_dir_all(&service).unwrap();
        for program in [app.join("Contents/MacOS/a"), service.join("s")] {
            assert_eq!(locate(&program, Some(OsStr::new("/other.app"))), Ok(app.clone()));
        }
        let outside = folder.path().join("target/debug/a");
        assert_eq!(locate(&outside, Some(OsStr::new("/other.app"))), Ok("/other.app".into()));
        let reason = locate(&outside, None).unwrap_err();
        assert!(reason.contains("cargo xpc run") && reason.contains("XPC_RUNTIME_BUNDLE"), "{reason}");
        // So the kernel says it of a program whose bundle was exchanged for another.
        let replaced = folder.path().join(".A.app.staging-1/A.app/Contents/MacOS/a (deleted)");
        assert!(locate(&replaced, None).unwrap_err().contains("start it again"));
    }

    #[test]
    fn an_extension_has_services_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let extension = folder.path().join("A.app/Contents/PlugIns/E.appex");
        fs::create_dir_all(extension.join("Contents/MacOS")).unwrap();
        assert_eq!(locate(&extension.join("Contents/MacOS/e"), None), Ok(extension));
    }

    #[test]
    fn services_in_frameworks_are_found_after_the_apps_own() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("A.app");
        let plist = |name: &str, program: &str| {
            format!(
                "<key>CFBundleIdentifier</key><string>{name}</string><key>CFBundleExecutable</key><string>{program}</string>"
            )
        };
        let frameworks = app.join("Contents/Frameworks");
        write_service(&app, "own.xpc", &plist("org.own", "of-the-app"));
        write_service_in(&frameworks.join("F.framework/Versions/B"), "f.xpc", &plist("org.current", "f"));
        write_service_in(&frameworks.join("F.framework/Versions/B"), "own.xpc", &plist("org.own", "of-the-framework"));
        write_service_in(&frameworks.join("F.framework/Versions/A"), "f.xpc", &plist("org.old", "f"));
        std::os::unix::fs::symlink("B", frameworks.join("F.framework/Versions/Current")).unwrap();
        write_service_in(&frameworks.join("G.framework"), "g.xpc", &plist("org.flat", "g"));
        let bundle = Bundle::read(&app).unwrap();
        assert!(bundle.find("org.own").unwrap().executable.ends_with("of-the-app"));
        assert!(bundle.find("org.current").is_ok() && bundle.find("org.flat").is_ok());
        assert!(bundle.find("org.old").is_err());
    }

    #[test]
    fn services_are_found_by_identifier_and_the_rest_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("A.app");
        write_service(
            &app,
            "one.xpc",
            "<key>CFBundleIdentifier</key><string>org.one</string><key>CFBundleExecutable</key><string>exe</string>
             <key>XPCService</key><dict><key>EnvironmentVariables</key><dict><key>A</key><string>b</string></dict><key>JoinExistingSession</key><true/></dict>",
        );
        write_service(&app, "two.xpc", "<key>CFBundleIdentifier</key><string>org.two</string>");
        write_service(&app, "three.xpc", "<key>Other</key><true/>");
        write_service(&app, "not-a-service", "<key>CFBundleIdentifier</key><string>org.four</string>");
        let bundle = Bundle::read(&app).unwrap();
        let executable = fs::canonicalize(&app).unwrap().join("Contents/XPCServices/one.xpc/Contents/MacOS/exe");
        assert_eq!(
            bundle.find("org.one"),
            Ok(Service { executable, environment: vec![("A".into(), "b".into())], joins_session: true, sandbox: None })
        );
        assert!(bundle.find("org.two").unwrap_err().contains("no CFBundleExecutable"));
        let reason = bundle.find("org.four").unwrap_err();
        assert!(reason.contains("its services are org.one;") && reason.contains("no CFBundleIdentifier"), "{reason}");
        assert!(Bundle::read(&folder.path().join("missing.app")).unwrap_err().contains("missing.app"));
    }
}
