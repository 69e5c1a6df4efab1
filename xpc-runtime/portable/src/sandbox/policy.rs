//! Entitlements → what a service may do.

use plist::{Dictionary, Value};

const PREFIX: &str = "com.apple.security.";
const AGENTS: &str = "temporary-exception.mach-lookup.global-name";
/// Of what groups have on macOS there are no folders here.
const GROUPS: &str = "application-groups";

/// What a sandboxed service may do beyond its own folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Make connections.
    pub client: bool,
    /// Take connections.
    pub server: bool,
    pub paths: Vec<Grant>,
    /// Agents that it may reach, by their names.
    pub agents: Vec<String>,
    /// Groups of apps: it may reach agents whose names begin with one of these and a dot.
    pub groups: Vec<String>,
    /// Entitlements of the sandbox that mean nothing here.
    pub unknown: Vec<String>,
}

/// A file, or a folder with all that is in it where the path ends with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub entitlement: String,
    pub base: Base,
    pub path: String,
    pub writes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Root,
    /// The user's home, not the container.
    Home,
}

impl Policy {
    /// `None` where the entitlements ask for no sandbox; an error where they say something that cannot be meant.
    pub fn from_entitlements(entitlements: &Dictionary) -> Result<Option<Self>, String> {
        let mut policy = Self::default();
        let mut sandboxed = false;
        for (key, value) in entitlements {
            let Some(short) = key.strip_prefix(PREFIX) else { continue };
            let granted = || value.as_boolean().ok_or_else(|| format!("{key} is not a boolean"));
            match short {
                "app-sandbox" => sandboxed = granted()?,
                "network.client" => policy.client = granted()?,
                "network.server" => policy.server = granted()?,
                AGENTS => policy.agents = owned(texts(key, value)?),
                GROUPS => policy.groups = owned(texts(key, value)?),
                _ if is_no_grant(short) => {}
                _ => match (folder(short), exception(short)) {
                    (Some((path, writes)), _) if granted()? => policy.grant(key, Base::Home, path, writes),
                    (Some(_), _) => {}
                    (None, Some((base, writes))) => {
                        for path in texts(key, value)? {
                            policy.grant(key, base, path, writes);
                        }
                    }
                    // Turned off it asks for nothing.
                    (None, None) if value.as_boolean() == Some(false) => {}
                    (None, None) => policy.unknown.push(key.clone()),
                },
            }
        }
        Ok(sandboxed.then_some(policy))
    }

    /// Whether it may reach the agent of this name; if not, why.
    pub fn check_agent(&self, name: &str) -> Result<(), String> {
        let of_a_group = |group: &String| name.strip_prefix(group.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if self.agents.iter().any(|agent| agent == name) || self.groups.iter().any(of_a_group) {
            return Ok(());
        }
        Err(format!(
            "the sandbox does not let this service reach {name}: list the name in {PREFIX}{AGENTS} of its entitlements"
        ))
    }

    /// Whether it may have IP sockets.
    pub fn network(&self) -> bool {
        self.client || self.server
    }

    fn grant(&mut self, entitlement: &str, base: Base, path: &str, writes: bool) {
        self.paths.push(Grant { entitlement: entitlement.to_owned(), base, path: path.to_owned(), writes });
    }
}

/// What grants nothing by itself: what the user selects needs a dialog of the system's, and the rest is not the
/// sandbox's.
fn is_no_grant(short: &str) -> bool {
    short.starts_with("files.user-selected.")
        || short.starts_with("files.bookmarks.")
        || short.starts_with("cs.")
        || ["get-task-allow", "inherit"].contains(&short)
}

/// The folders that have entitlements of their own.
fn folder(short: &str) -> Option<(&'static str, bool)> {
    let (short, writes) = access(short)?;
    let path = match short {
        "files.downloads" => "/Downloads/",
        "assets.movies" => "/Videos/",
        "assets.music" => "/Music/",
        "assets.pictures" => "/Pictures/",
        _ => return None,
    };
    Some((path, writes))
}

fn exception(short: &str) -> Option<(Base, bool)> {
    let (short, writes) = access(short)?;
    match short {
        "temporary-exception.files.absolute-path" => Some((Base::Root, writes)),
        "temporary-exception.files.home-relative-path" => Some((Base::Home, writes)),
        _ => None,
    }
}

/// Takes off whether it is for writing.
fn access(short: &str) -> Option<(&str, bool)> {
    let writing = short.strip_suffix(".read-write").map(|short| (short, true));
    writing.or_else(|| Some((short.strip_suffix(".read-only")?, false)))
}

fn texts<'a>(key: &str, value: &'a Value) -> Result<Vec<&'a str>, String> {
    let texts = match value {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(texts) => texts.iter().map(Value::as_string).collect(),
        _ => None,
    };
    texts.ok_or_else(|| format!("{key} is neither a string nor an array of strings"))
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[(&str, Value)]) -> Result<Option<Policy>, String> {
        let key = |short: &str| if short.contains(':') { short.to_owned() } else { format!("{PREFIX}{short}") };
        Policy::from_entitlements(&entries.iter().map(|(short, value)| (key(short), value.clone())).collect())
    }

    fn sandbox(entry: (&str, Value)) -> Policy {
        parse(&[("app-sandbox", true.into()), entry]).unwrap().unwrap()
    }

    #[test]
    fn without_the_entitlement_there_is_no_sandbox() {
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[("network.client", true.into()), ("surprise", true.into())]), Ok(None));
        assert_eq!(parse(&[("app-sandbox", false.into())]), Ok(None));
    }

    #[test]
    fn the_network_is_granted_by_direction() {
        let policy = sandbox(("network.client", true.into()));
        assert_eq!((policy.client, policy.server, policy.network()), (true, false, true));
        let policy = sandbox(("network.server", true.into()));
        assert_eq!((policy.client, policy.server, policy.network()), (false, true, true));
        let policy = sandbox(("network.server", false.into()));
        assert!(!policy.network());
    }

    #[test]
    fn paths_are_granted_for_reading_or_writing() {
        let exceptions = Value::Array(vec!["/a".into(), "/b/".into()]);
        let policy = sandbox(("temporary-exception.files.absolute-path.read-only", exceptions));
        let seen: Vec<_> = policy.paths.iter().map(|grant| (grant.base, &*grant.path, grant.writes)).collect();
        assert_eq!(seen, [(Base::Root, "/a", false), (Base::Root, "/b/", false)]);
        let policy = sandbox(("temporary-exception.files.home-relative-path.read-write", "/.config/x/".into()));
        let seen: Vec<_> = policy.paths.iter().map(|grant| (grant.base, &*grant.path, grant.writes)).collect();
        assert_eq!(seen, [(Base::Home, "/.config/x/", true)]);
        let policy = sandbox(("files.downloads.read-write", true.into()));
        assert_eq!(policy.paths[0].path, "/Downloads/");
        assert_eq!(sandbox(("files.downloads.read-only", false.into())).paths, []);
    }

    #[test]
    fn agents_are_granted_by_name_or_by_the_group_in_it() {
        let agents = Value::Array(vec!["org.a".into(), "org.b".into()]);
        let policy = sandbox((AGENTS, agents));
        assert_eq!(policy.check_agent("org.b"), Ok(()));
        for denied in ["org.b.c", "org", "org.B", ""] {
            assert!(policy.check_agent(denied).unwrap_err().contains(AGENTS), "{denied}");
        }
        let policy = sandbox((GROUPS, "team.group".into()));
        assert_eq!(policy.check_agent("team.group.agent"), Ok(()));
        assert!(policy.check_agent("team.group").is_err() && policy.check_agent("team.groups.agent").is_err());
        assert!(parse(&[(AGENTS, true.into())]).unwrap_err().contains(AGENTS));
    }

    #[test]
    fn what_means_nothing_here_is_named_and_what_grants_nothing_is_not() {
        let key = "device.camera";
        assert_eq!(sandbox((key, true.into())).unknown, [format!("{PREFIX}{key}")]);
        for quiet in ["files.user-selected.read-write", "cs.allow-jit", "get-task-allow"] {
            assert_eq!(sandbox((quiet, true.into())).unknown, [""; 0], "{quiet}");
        }
        assert_eq!(sandbox((key, false.into())).unknown, [""; 0]);
        assert_eq!(sandbox(("org.example:own", true.into())).unknown, [""; 0]);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_an_error_and_not_a_sandbox_less() {
        for key in ["app-sandbox", "network.client", "files.downloads.read-only"] {
            assert!(parse(&[(key, "true".into())]).unwrap_err().contains(key));
        }
        let key = "temporary-exception.files.absolute-path.read-only";
        assert!(parse(&[(key, true.into())]).unwrap_err().contains(key));
    }
}
