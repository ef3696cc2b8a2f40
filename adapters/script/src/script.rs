//! A script in QuickJS: compiled once, called for each event. Knows JavaScript values; what they mean stands in `wire`.

use herald_channel::{Context as CallContext, Description, Event, Refusal, Request, Response, Verdict, log};
use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Function, Module, Object, Persistent, Runtime};
use serde::de::DeserializeOwned;

use crate::wire::{Answer, Arguments, Described, Rendered};

const GLUE: &str = include_str!("glue.js");
/// Of the 256 KiB that the component has: what is left is for QuickJS's own functions and ours.
const STACK: usize = 160 << 10;
/// A call that makes less garbage never pays for looking through what was there before it.
const GARBAGE: usize = 8 << 20;

/// A script, ready to be called.
pub struct Script {
    file: String,
    description: Description,
    render: Entry,
    interpret: Option<Entry>,
    /// Last: it outlives the functions.
    context: Context,
}

/// A function of the script, and the one of the glue that calls it.
struct Entry {
    glue: Persistent<Function<'static>>,
    function: Persistent<Function<'static>>,
}

impl Script {
    /// Compiles it and runs it once from top to bottom.
    pub fn load(file: &str, text: &str) -> Result<Self, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        runtime.set_max_stack_size(STACK);
        runtime.set_gc_threshold(GARBAGE);
        let context = Context::full(&runtime).map_err(|error| error.to_string())?;
        let (description, render, interpret) = context.with(|ctx| {
            let glue = glue(&ctx).catch(&ctx).map_err(|error| explain(file, &error))?;
            let module = evaluate(&ctx, file, text).catch(&ctx).map_err(|error| explain(file, &error))?;
            let entry =
                |name: &str| entry(&ctx, &glue, &module, name).catch(&ctx).map_err(|error| explain(file, &error));
            let described: String = glue
                .get("describe")
                .and_then(|describe: Function| describe.call((module.clone(),)))
                .catch(&ctx)
                .map_err(|error| explain(file, &error))?;
            let described: Described = read(&described).map_err(|error| format!("{file}: describe: {error}"))?;
            let description = described.description().map_err(|problem| format!("{file}: {problem}"))?;
            let interpret =
                if module.contains_key("interpret").unwrap_or(false) { Some(entry("interpret")?) } else { None };
            Ok::<_, String>((description, entry("render")?, interpret))
        })?;
        // What compiling has left behind need not be looked at in any call.
        runtime.run_gc();
        Ok(Self { file: file.to_owned(), description, context, render, interpret })
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    pub fn reads_replies(&self) -> bool {
        self.interpret.is_some()
    }

    pub fn render(&self, context: &CallContext, event: &Event) -> Result<Result<Request, Refusal>, String> {
        let arguments = Arguments::of_render(context, event)?;
        let rendered: Rendered = self.call(&self.render, &arguments, "what render returned")?;
        rendered.result().map_err(|problem| format!("{}: what render returned: {problem}", self.file))
    }

    /// `None`: the host's rule holds.
    pub fn interpret(
        &self,
        context: &CallContext,
        event: &Event,
        state: &[u8],
        response: &Response,
    ) -> Result<Option<Verdict>, String> {
        let Some(interpret) = &self.interpret else { return Ok(None) };
        let arguments = Arguments::of_interpret(context, event, state, response)?;
        let answer: Option<Answer> = self.call(interpret, &arguments, "what interpret returned")?;
        answer.map(Answer::verdict).transpose().map_err(|problem| format!("{}: {problem}", self.file))
    }

    fn call<R: DeserializeOwned>(&self, entry: &Entry, arguments: &Arguments, what: &str) -> Result<R, String> {
        let arguments = arguments.json()?;
        let returned: String = self.context.with(|ctx| {
            let call = || {
                let glue = entry.glue.clone().restore(&ctx)?;
                glue.call((entry.function.clone().restore(&ctx)?, arguments))
            };
            call().catch(&ctx).map_err(|error| explain(&self.file, &error))
        })?;
        read(&returned).map_err(|error| format!("{}: {what}: {error}", self.file))
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// The glue's functions. Its console writes to the log.
fn glue<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
    let make: Function = ctx.eval(GLUE)?;
    make.call((Function::new(ctx.clone(), write)?,))
}

#[allow(clippy::needless_pass_by_value)]
fn write(level: String, text: String) {
    let level = match level.as_str() {
        "debug" => log::Level::Debug,
        "warn" => log::Level::Warn,
        "error" => log::Level::Error,
        _ => log::Level::Info,
    };
    if cfg!(target_arch = "wasm32") {
        log::write(level, &text);
    }
}

/// What the script exports.
fn evaluate<'js>(ctx: &Ctx<'js>, file: &str, text: &str) -> rquickjs::Result<Object<'js>> {
    let (module, done) = Module::declare(ctx.clone(), file, text)?.eval()?;
    done.finish::<()>()?;
    module.namespace()
}

fn entry<'js>(ctx: &Ctx<'js>, glue: &Object<'js>, module: &Object<'js>, name: &str) -> rquickjs::Result<Entry> {
    Ok(Entry {
        glue: Persistent::save(ctx, glue.get::<_, Function>(name)?),
        function: Persistent::save(ctx, module.get::<_, Function>(name)?),
    })
}

/// What went wrong, and where in the file: `oncall.js:12:7: TypeError: …`.
fn explain(file: &str, error: &CaughtError) -> String {
    match error {
        CaughtError::Exception(exception) => {
            let message = exception.message().unwrap_or_default();
            let object = exception.as_object();
            if object.get("misfit").unwrap_or(false) {
                return format!("{file}: {message}");
            }
            let name = object.get::<_, String>("name").unwrap_or_else(|_| "Error".to_owned());
            let what = if message.is_empty() { name } else { format!("{name}: {message}") };
            match exception.stack().as_deref().and_then(|stack| place(file, stack)) {
                Some(place) => format!("{place}: {what}"),
                None => format!("{file}: {what}"),
            }
        }
        CaughtError::Value(value) => {
            let text = value.as_string().and_then(|text| text.to_string().ok());
            let text = text.unwrap_or_else(|| format!("a value of the type {}", value.type_name()));
            format!("{file}: threw {text:?}, which has no position: throw an Error")
        }
        CaughtError::Error(rquickjs::Error::WouldBlock) => {
            format!("{file}: it awaits what never comes: there is nothing to wait for")
        }
        CaughtError::Error(error) => format!("{file}: {error}"),
    }
}

/// The innermost place of a stack that is in the file: `    at render (oncall.js:12:7)`, or without a function
/// `    at oncall.js:12:7`.
fn place(file: &str, stack: &str) -> Option<String> {
    stack.lines().find_map(|line| {
        let place = line.rsplit_once('(').map_or(line.trim_start().strip_prefix("at ")?, |(_, place)| place);
        let place = place.trim_end_matches(')');
        place.strip_prefix(file)?.starts_with(':').then(|| place.to_owned())
    })
}
