//! The rules of a seal: what `codesign` writes into `CodeResources` for every bundle, and the decision they make for a path.

use std::sync::LazyLock;

use apple_codesign::{CodeResources, CodeResourcesRule};
use regex::Regex;

/// What a rule says about the paths it matches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// A regular expression over names relative to the content folder.
    pub pattern: &'static str,
    /// The path is code, sealed by its own signature.
    pub nested: bool,
    /// The path is not sealed at all.
    pub omit: bool,
    /// The path may be missing later.
    pub optional: bool,
    /// The heaviest matching rule wins; unwritten, a rule weighs 1.
    pub weight: Option<u32>,
}

/// The rules of one bundle: the first version is for systems before 10.9.5, the second is the one that counts.
#[derive(Debug)]
pub(super) struct RuleSet {
    first: Vec<(Rule, Regex)>,
    second: Vec<(Rule, Regex)>,
    /// A seal up to its lists of files.
    pub before: String,
    /// What comes after them, the rules above all.
    pub after: String,
}

const fn rule(pattern: &'static str) -> Rule {
    Rule { pattern, nested: false, omit: false, optional: false, weight: None }
}

impl Rule {
    const fn nested(self) -> Self {
        Self { nested: true, ..self }
    }
    const fn omit(self) -> Self {
        Self { omit: true, ..self }
    }
    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
    const fn weight(self, weight: u32) -> Self {
        Self { weight: Some(weight), ..self }
    }
}

const FIRST_WITH_RESOURCES: [Rule; 5] = [
    rule("^version.plist$"),
    rule("^Resources/"),
    rule(r"^Resources/.*\.lproj/").optional().weight(1000),
    rule(r"^Resources/Base\.lproj/").weight(1010),
    rule(r"^Resources/.*\.lproj/locversion.plist$").omit().weight(1100),
];

const SECOND_WITH_RESOURCES: [Rule; 13] = [
    rule("^.*"),
    rule("^[^/]+$").nested().weight(10),
    rule("^(Frameworks|SharedFrameworks|PlugIns|Plug-ins|XPCServices|Helpers|MacOS|Library/(Automator|Spotlight|LoginItems))/")
        .nested()
        .weight(10),
    rule(r".*\.dSYM($|/)").weight(11),
    rule(r"^(.*/)?\.DS_Store$").omit().weight(2000),
    rule(r"^Info\.plist$").omit().weight(20),
    rule(r"^version\.plist$").weight(20),
    rule(r"^embedded\.provisionprofile$").weight(20),
    rule("^PkgInfo$").omit().weight(20),
    rule("^Resources/").weight(20),
    rule(r"^Resources/.*\.lproj/").optional().weight(1000),
    rule(r"^Resources/Base\.lproj/").weight(1010),
    rule(r"^Resources/.*\.lproj/locversion.plist$").omit().weight(1100),
];

const FIRST_WITHOUT: [Rule; 5] = [
    rule("^version.plist$"),
    rule("^.*"),
    rule(r"^.*\.lproj/").optional().weight(1000),
    rule(r"^Base\.lproj/").weight(1010),
    rule(r"^.*\.lproj/locversion.plist$").omit().weight(1100),
];

const SECOND_WITHOUT: [Rule; 10] = [
    rule("^.*"),
    rule(r".*\.dSYM($|/)").weight(11),
    rule(r"^(.*/)?\.DS_Store$").omit().weight(2000),
    rule(r"^Info\.plist$").omit().weight(20),
    rule(r"^version\.plist$").weight(20),
    rule(r"^embedded\.provisionprofile$").weight(20),
    rule("^PkgInfo$").omit().weight(20),
    rule(r"^.*\.lproj/").optional().weight(1000),
    rule(r"^Base\.lproj/").weight(1010),
    rule(r"^.*\.lproj/locversion.plist$").omit().weight(1100),
];

static WITH_RESOURCES: LazyLock<RuleSet> =
    LazyLock::new(|| RuleSet::new(&FIRST_WITH_RESOURCES, &SECOND_WITH_RESOURCES));
static WITHOUT_RESOURCES: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::new(&FIRST_WITHOUT, &SECOND_WITHOUT));

/// Heaviest first; among equals the order above stays.
fn compile(rules: &[Rule]) -> Vec<(Rule, Regex)> {
    let mut compiled: Vec<_> = rules
        .iter()
        .map(|rule| (*rule, Regex::new(rule.pattern).expect("the patterns of this table are valid")))
        .collect();
    compiled.sort_by_key(|(rule, _)| std::cmp::Reverse(rule.weight.unwrap_or(1)));
    compiled
}

impl RuleSet {
    fn new(first: &[Rule], second: &[Rule]) -> Self {
        let mut blank = Vec::new();
        blank_seal(first, second).to_writer_xml(&mut blank).expect("memory takes what is written");
        let blank = String::from_utf8(blank).expect("XML is text");
        let (before, after) = blank.split_once(NO_FILES).expect("a seal begins with its lists of files");
        let (before, after) = (before.to_owned(), after.to_owned());
        Self { first: compile(first), second: compile(second), before, after }
    }

    /// The rules for a bundle, by whether it can have a `Resources` folder.
    pub(super) fn of(has_resources: bool) -> &'static Self {
        if has_resources { &WITH_RESOURCES } else { &WITHOUT_RESOURCES }
    }

    /// The rule of the first version for `name`.
    pub(super) fn first(&self, name: &str) -> Option<Rule> {
        decide(&self.first, name)
    }

    /// The rule of the second version for `name`. There always is one.
    pub(super) fn second(&self, name: &str) -> Rule {
        decide(&self.second, name).unwrap_or(rule("^.*"))
    }
}

/// A seal's lists of files, both empty.
const NO_FILES: &str = "\t<key>files</key>\n\t<dict/>\n\t<key>files2</key>\n\t<dict/>\n";

/// A seal that states the rules, and seals nothing.
fn blank_seal(first: &[Rule], second: &[Rule]) -> CodeResources {
    let mut blank = CodeResources::default();
    first.iter().for_each(|rule| blank.add_rule(translate(rule)));
    second.iter().for_each(|rule| blank.add_rule2(translate(rule)));
    blank
}

/// As [`blank_seal`], of the rules that [`RuleSet::of`] gives.
#[cfg(test)]
pub(super) fn blank_seal_of(has_resources: bool) -> CodeResources {
    if has_resources {
        blank_seal(&FIRST_WITH_RESOURCES, &SECOND_WITH_RESOURCES)
    } else {
        blank_seal(&FIRST_WITHOUT, &SECOND_WITHOUT)
    }
}

fn translate(rule: &Rule) -> CodeResourcesRule {
    let mut translated = CodeResourcesRule::new(rule.pattern).expect("the patterns of this table are valid");
    translated.nested = rule.nested;
    translated.omit = rule.omit;
    translated.optional = rule.optional;
    translated.weight = rule.weight;
    translated
}

fn decide(rules: &[(Rule, Regex)], name: &str) -> Option<Rule> {
    rules.iter().find(|(_, pattern)| pattern.is_match(name)).map(|(rule, _)| *rule)
}
