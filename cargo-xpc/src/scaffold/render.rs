//! Handlebars, made strict: a variable that nobody set is an error that names file and line.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy as _, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable as _,
};
use serde::Serialize;

use super::ScaffoldError;
use super::plan::Content;
use super::template::{Template, TemplateFile};

/// What a template can say. All are texts; which of them are set for which kind stands in `templates/README.md`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Variables {
    pub name: String,
    pub identifier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_identifier: Option<String>,
    pub service_name: String,
    pub service_crate: String,
    pub service_identifier: String,
    pub interface_name: String,
    pub interface_crate: String,
    /// TOML values, quotes included: what stands behind `xpc-runtime =`, and behind the interface's name.
    pub runtime_dependency: String,
    pub interface_dependency: String,
}

/// A rendered file: its path inside the template's tree, and what it holds.
pub(super) struct Rendered {
    pub path: Utf8PathBuf,
    /// The template's file, for messages.
    pub label: String,
    pub content: Content,
}

const ENDING: &str = "hbs";

/// Renders every file of `template`, and their paths.
pub(super) fn render(template: &Template, variables: &Variables) -> Result<Vec<Rendered>, ScaffoldError> {
    let engine = engine();
    template.files.iter().map(|file| render_file(&engine, file, variables)).collect()
}

fn engine() -> Handlebars<'static> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    // The output is code, not HTML.
    engine.register_escape_fn(handlebars::no_escape);
    // The stock helpers take a variable that does not exist for false.
    engine.register_helper("if", Box::new(StrictIf { positive: true }));
    engine.register_helper("unless", Box::new(StrictIf { positive: false }));
    engine
}

fn render_file(engine: &Handlebars<'_>, file: &TemplateFile, variables: &Variables) -> Result<Rendered, ScaffoldError> {
    let bad = |why: String| ScaffoldError::BadTemplate { file: file.label.clone(), why };
    let path = engine.render_template(file.path.as_str(), variables).map_err(|error| bad(in_path(&error)))?;
    let path = Utf8PathBuf::from(path);
    if !is_inside(&path) {
        return Err(bad(format!("its path becomes `{path}`, which leaves the new folder")));
    }
    let (path, content) = if path.extension() == Some(ENDING) {
        let text = std::str::from_utf8(&file.content).map_err(|error| bad(error.to_string()))?;
        let text = engine.render_template(text, variables).map_err(|error| bad(in_text(&error)))?;
        (path.with_extension(""), Content::Text(text))
    } else {
        (path, Content::from(file.content.clone()))
    };
    Ok(Rendered { path, label: file.label.clone(), content })
}

/// Whether the path goes down and nowhere else.
fn is_inside(path: &Utf8Path) -> bool {
    !path.as_str().contains('\\')
        && path.components().next().is_some()
        && path.components().all(|part| matches!(part, Utf8Component::Normal(_)))
}

fn in_text(error: &RenderError) -> String {
    let (line, why) = line_and_reason(error);
    line.map_or_else(|| why.clone(), |line| format!("line {line}: {why}"))
}

fn in_path(error: &RenderError) -> String {
    format!("in its path: {}", line_and_reason(error).1)
}

fn line_and_reason(error: &RenderError) -> (Option<usize>, String) {
    match error.reason() {
        RenderErrorReason::MissingVariable(Some(name)) => {
            (error.line_no, format!("there is no variable `{name}`; templates/README.md lists them"))
        }
        RenderErrorReason::TemplateError(error) => {
            let at = error.pos();
            (at.map(|(line, _)| line), error.reason().to_string())
        }
        reason => (error.line_no, reason.to_string()),
    }
}

/// `{{#if x}}` and `{{#unless x}}` that refuse an unknown `x`.
#[derive(Clone, Copy)]
struct StrictIf {
    positive: bool,
}

impl HelperDef for StrictIf {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let param = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("if", 0))?;
        if param.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into());
        }
        let branch = if param.value().is_truthy(false) == self.positive { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |branch| branch.render(registry, context, render, out))
    }
}
