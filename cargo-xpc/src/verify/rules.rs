//! The rules that a seal states about itself.

use std::sync::{Arc, Mutex};

use plist::{Dictionary, Value};
use regex::{Regex, RegexBuilder};

/// More rules than any seal has; each costs a match a file.
const MAX_RULES: usize = 256;
/// Bytes of one rule, compiled. Real ones take a few thousand.
const MAX_RULE: usize = 1 << 20;

/// What the seal says about the paths that a rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Code, sealed by its own signature.
    pub nested: bool,
    /// Not sealed.
    pub omit: bool,
}

/// The rules of one seal.
#[derive(Debug)]
pub(super) struct Rules {
    /// Heaviest first.
    rules: Vec<(Regex, f64, Verdict)>,
    /// Why macOS takes them for too weak.
    pub weak: Option<String>,
}

/// What rules may leave out, to the letter; the last one is of bundles without a folder for resources.
const OMISSIONS: [&str; 5] = [
    r"^(.*/)?\.DS_Store$",
    r"^Info\.plist$",
    r"^PkgInfo$",
    r"^Resources/.*\.lproj/locversion.plist$",
    r"^.*\.lproj/locversion.plist$",
];
/// The rule that covers whatever no other does.
const CATCH_ALL: &str = "^.*";

impl Rules {
    fn parse(rules: &Dictionary) -> Result<Self, String> {
        if rules.len() > MAX_RULES {
            return Err(format!("{} rules", rules.len()));
        }
        let mut parsed = Vec::new();
        let mut weak = (rules.get(CATCH_ALL) != Some(&Value::Boolean(true))).then(|| format!("no rule `{CATCH_ALL}`"));
        for (pattern, value) in rules {
            let regex = RegexBuilder::new(pattern).size_limit(MAX_RULE).dfa_size_limit(MAX_RULE).build();
            let regex = regex.map_err(|error| format!("rule `{pattern}`: {error}"))?;
            let (weight, verdict) = match value {
                Value::Boolean(true) => (1.0, Verdict::default()),
                Value::Boolean(false) => (1.0, Verdict { omit: true, ..Verdict::default() }),
                Value::Dictionary(rule) => {
                    let is = |key: &str| rule.get(key).and_then(Value::as_boolean) == Some(true);
                    let weight = rule.get("weight").map_or(Some(1.0), number);
                    let weight = weight.ok_or_else(|| format!("rule `{pattern}` has a weight that is no number"))?;
                    (weight, Verdict { nested: is("nested"), omit: is("omit") })
                }
                _ => return Err(format!("rule `{pattern}` is neither a boolean nor a dictionary")),
            };
            if verdict.omit && !OMISSIONS.contains(&pattern.as_str()) {
                weak = Some(format!("rule `{pattern}`, which omits"));
            }
            parsed.push((regex, weight, verdict));
        }
        parsed.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(Self { rules: parsed, weak })
    }

    /// What the seal says about `name`; `None` where no rule matches, which leaves the path unsealed.
    pub(super) fn decide(&self, name: &str) -> Option<Verdict> {
        self.rules.iter().find(|(regex, ..)| regex.is_match(name)).map(|(.., verdict)| *verdict)
    }
}

/// How many sets of rules are kept at a time: there is one for apps and services, and one for most frameworks.
const KEPT: usize = 4;

/// Rules that were read already. Most seals of an app state the same, and compiling them costs more than all else in a small one.
#[derive(Default)]
pub(super) struct KnownRules(Vec<(Dictionary, Arc<Rules>)>);

impl KnownRules {
    /// [`Rules::parse`], or what came of it for a seal that stated the very same.
    pub(super) fn parse(known: &Mutex<Self>, rules: &Dictionary) -> Result<Arc<Rules>, String> {
        // Whoever comes meanwhile has the same rules, and waits for them.
        let Ok(mut known) = known.lock() else { return Rules::parse(rules).map(Arc::new) };
        if let Some((_, known)) = known.0.iter().find(|(stated, _)| stated == rules) {
            return Ok(Arc::clone(known));
        }
        let parsed = Arc::new(Rules::parse(rules)?);
        known.0.truncate(KEPT - 1);
        known.0.insert(0, (rules.clone(), Arc::clone(&parsed)));
        Ok(parsed)
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(*number),
        Value::Integer(number) => Some(number.as_signed()? as f64),
        _ => None,
    }
}

/// Whether every seal may leave this name out. Rules are the bundle's own statement: one that omits more would hide changes.
pub(super) fn may_be_omitted(name: &str) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    match file {
        ".DS_Store" => true,
        "Info.plist" | "PkgInfo" => folder.is_empty(),
        "locversion.plist" => folder.ends_with(".lproj"),
        _ => false,
    }
}
