//! Templates with the lines of the file that they stand in, and trees of them.

use minijinja::value::Value;
use minijinja::{Environment, Error, Expression, Template, UndefinedBehavior};
use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::escape::{self, Place};

/// The file as its author sees it, and the templates that stand in it. Lives as long as the sandbox.
pub struct Source {
    name: &'static str,
    text: &'static str,
    environment: Environment<'static>,
    /// The same without templates: what expressions are compiled in.
    plain: &'static Environment<'static>,
    templates: usize,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        let mut environment = Environment::new();
        // Data that one event has and another lacks is nothing to fail for.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(escape::of_template);
        environment.set_formatter(escape::write);
        environment.add_filter("tojson", |value: &Value| escape::json(value).map(Value::from_safe_string));
        let plain = Box::leak(Box::new(environment.clone()));
        Self { name: name.to_owned().leak(), text: text.to_owned().leak(), environment, plain, templates: 0 }
    }

    /// A place in the file, for errors.
    pub fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.name, self.line(offset))
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    /// Takes a text in as a template. It is compiled when all are there.
    pub fn piece(&mut self, text: &Spanned<DeValue>, place: Place) -> Result<Piece, String> {
        let start = text.span().start;
        let Some(template) = text.get_ref().as_str() else {
            return Err(format!("{}: {}, not a text", self.at(start), text.get_ref().type_str()));
        };
        let name: &'static str = format!("{} {}", place.name(), self.templates).leak();
        self.templates += 1;
        // A text in three quotes may begin on the next line.
        let quotes = self.text.get(start..).unwrap_or_default();
        let is_below = ["\"\"\"", "'''"].iter().any(|three| {
            quotes.strip_prefix(three).is_some_and(|rest| rest.starts_with('\n') || rest.starts_with("\r\n"))
        });
        let piece = Piece { name, line: self.line(start) + usize::from(is_below) };
        let template: &'static str = template.to_owned().leak();
        self.environment.add_template(name, template).map_err(|error| piece.explain(self, &error))?;
        Ok(piece)
    }

    /// A tree whose texts are templates.
    pub fn tree(&mut self, value: &Spanned<DeValue>) -> Result<Tree, String> {
        Ok(match value.get_ref() {
            DeValue::String(text) => match lone_expression(text) {
                Some(expression) => {
                    let piece = Piece { name: "", line: self.line(value.span().start) };
                    let expression: &'static str = expression.to_owned().leak();
                    let compiled =
                        self.plain.compile_expression(expression).map_err(|error| piece.explain(self, &error))?;
                    Tree::Value(piece, compiled)
                }
                None => Tree::Text(self.piece(value, Place::Text)?),
            },
            DeValue::Array(items) => Tree::List(items.iter().map(|item| self.tree(item)).collect::<Result<_, _>>()?),
            DeValue::Table(members) => Tree::Table(self.members(members)?),
            other => Tree::Fixed(
                fixed(other).ok_or_else(|| format!("{}: JSON has no such value", self.at(value.span().start)))?,
            ),
        })
    }

    fn members(&mut self, members: &DeTable) -> Result<Vec<(String, Tree)>, String> {
        members.iter().map(|(name, value)| Ok((name.get_ref().to_string(), self.tree(value)?))).collect()
    }

    fn template<'a>(&'a self, piece: &Piece) -> Result<Template<'a, 'a>, String> {
        self.environment.get_template(piece.name).map_err(|error| piece.explain(self, &error))
    }
}

/// What stands in a text that is one expression and nothing else.
fn lone_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark))).then(|| inner.trim_matches('-').trim())
}

/// A value that is no text, as JSON.
pub fn fixed(value: &DeValue) -> Option<Json> {
    match value {
        DeValue::Integer(integer) => {
            i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok().map(Json::from)
        }
        DeValue::Float(float) => {
            let number: f64 = float.as_str().replace('_', "").parse().ok()?;
            serde_json::Number::from_f64(number).map(Json::Number)
        }
        DeValue::Boolean(yes) => Some(Json::Bool(*yes)),
        DeValue::String(text) => Some(Json::from(text.as_ref())),
        DeValue::Datetime(time) => Some(Json::from(time.to_string())),
        DeValue::Array(items) => items.iter().map(|item| fixed(item.get_ref())).collect(),
        DeValue::Table(members) => {
            let members =
                members.iter().map(|(name, value)| Some((name.get_ref().to_string(), fixed(value.get_ref())?)));
            members.collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}

/// One template, and the line of the file that it begins on.
pub struct Piece {
    name: &'static str,
    line: usize,
}

impl Piece {
    pub fn render(&self, source: &Source, variables: &Value) -> Result<String, String> {
        source.template(self)?.render(variables).map_err(|error| self.explain(source, &error))
    }

    /// An error on its first line.
    pub fn fault(&self, source: &Source, what: &str) -> String {
        format!("{}:{}: {what}", source.name, self.line)
    }

    fn explain(&self, source: &Source, error: &Error) -> String {
        let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let line = self.line + error.line().unwrap_or(1).saturating_sub(1);
        format!("{}:{line}: {what}", source.name)
    }
}

/// A value whose texts are templates.
pub enum Tree {
    /// A text.
    Text(Piece),
    /// Whatever an expression gives: a number stays one.
    Value(Piece, Expression<'static, 'static>),
    /// No template.
    Fixed(Json),
    /// A list.
    List(Vec<Self>),
    /// A table.
    Table(Vec<(String, Self)>),
}

impl Tree {
    pub fn render(&self, source: &Source, variables: &Value) -> Result<Json, String> {
        Ok(match self {
            Self::Text(piece) => Json::String(piece.render(source, variables)?),
            Self::Value(piece, expression) => {
                let value = expression.eval(variables).map_err(|error| piece.explain(source, &error))?;
                if value.is_undefined() {
                    return Ok(Json::Null);
                }
                serde_json::to_value(&value).map_err(|error| piece.fault(source, &error.to_string()))?
            }
            Self::Fixed(value) => value.clone(),
            Self::List(items) => {
                Json::Array(items.iter().map(|item| item.render(source, variables)).collect::<Result<_, _>>()?)
            }
            Self::Table(members) => {
                let member = |(name, tree): &(String, Self)| Ok((name.clone(), tree.render(source, variables)?));
                Json::Object(members.iter().map(member).collect::<Result<_, String>>()?)
            }
        })
    }
}
