//! Request → ask: what a request wants, which model, and what it may cost. Ask → preload.
//!
//! Pure: no waiting, no clock, no log. Bodies are only peeked at and never changed; a body that cannot be read still
//! gives an ask, so that the node itself may refuse it in its own words.

use std::ops::Range;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method};

use crate::values::{Dialect, ModelKey, ModelName};

mod body;
mod keep_alive;
mod multipart;
mod peek;
mod preload;
mod routes;
mod zstd;

#[cfg(test)]
mod tests;

use body::Reading;
use peek::Fields;
use routes::{Found, Means};

/// A classified request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How the client talks, known from the path alone.
    pub dialect: Dialect,
    /// The route's template such as `/v1/models/{model}`, or `other`: fit for a metric's label.
    pub route: &'static str,
    /// What it may cost.
    pub class: Class,
    /// The model exactly as sent; `None` when absent, empty or unreadable.
    pub model: Option<String>,
    /// The same, read once for all who look it up.
    pub key: Option<ModelKey>,
    /// Further model names as sent: the destination of a copy, the `from` of a create.
    pub names: Vec<String>,
    /// Whether the client expects an answer in pieces. Loads and unloads answer in one piece whatever they ask for.
    pub streaming: bool,
    /// Whether the request may be sent again as long as the client has received nothing.
    pub replayable: bool,
    /// A body is there and is not JSON although the route needs it. An empty body is not malformed.
    pub malformed: bool,
    /// How to load the model beforehand in the ask's own way; `None` when nothing can or need be loaded.
    pub preload: Option<Preload>,
}

/// What a request may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Answered from what is known; waits for no node that sleeps.
    Metadata(Metadata),
    /// Asks to forget a loaded model; not worth a wake.
    Unload(Shape),
    /// Needs the GPU.
    Inference,
    /// Changes what a node holds; streamed through and never sent twice.
    Mutation(Mutation),
    /// Everything else, wrong methods on known routes included.
    Other {
        /// Whether it wakes a node, given that its model is in the catalog (which the caller checks).
        may_wake: bool,
    },
}

/// What can be answered without the GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// `/api/tags`
    Tags,
    /// `/api/version`
    Version,
    /// `/api/status`
    Status,
    /// `/api/show`
    Show {
        /// Without `verbose`, `system` and `options`: only such answers may be kept.
        plain: bool,
    },
    /// `/api/ps`
    Ps,
    /// `/v1/models`
    Models,
    /// `/v1/models/{model}`, with the id decoded; it may hold slashes.
    ModelById(String),
}

/// Which of the two routes an unload came by: their answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `/api/generate`
    Generate,
    /// `/api/chat`
    Chat,
}

/// What changes the models of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// `/api/pull`
    Pull,
    /// `/api/push`
    Push,
    /// `/api/create`
    Create,
    /// `/api/copy`
    Copy,
    /// `/api/delete`
    Delete,
    /// `POST /api/blobs/{digest}`
    BlobUpload,
    /// `HEAD /api/blobs/{digest}`: needs the node, since a "no" makes clients upload many gigabytes.
    BlobHead,
}

impl Mutation {
    /// Whether the models that are listed are other ones afterwards.
    pub fn changes_lists(self) -> bool {
        matches!(self, Self::Pull | Self::Create | Self::Copy | Self::Delete)
    }
}

/// A request of our own that loads the model an ask needs and generates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preload {
    /// Where to `POST` it.
    pub path: &'static str,
    /// Equal for asks that can share one load: canonical name, runner options and kind.
    pub key: String,
    /// The model as sent.
    pub model: String,
    /// As it goes into the body.
    keep_alive: String,
}

impl Preload {
    /// The JSON body. Made only now, since most asks find their model loaded.
    pub fn body(&self) -> Bytes {
        preload::body(self)
    }

    /// The canonical name and the runner's options: equal for asks that one loaded runner can serve, whatever their kind.
    pub fn runner(&self) -> (&str, &str) {
        // The key begins with the path. Names hold no spaces, and a search for text costs more than a look at each byte.
        let runner = self.key.get(self.path.len() + 1..).unwrap_or_default();
        let space = runner.bytes().position(|byte| byte == b' ').unwrap_or(runner.len());
        (&runner[..space], runner.get(space + 1..).unwrap_or_default())
    }
}

/// Whether the request's body is an upload of any size, which must be streamed and never held in memory.
pub fn streams_up(method: &Method, path: &str) -> bool {
    let found = routes::decode(path).map(|path| routes::find(method, &path));
    matches!(found, Some(Found::Route(_, Means::Change(Mutation::BlobUpload))))
}

/// Whether the body is a form in parts, on a route where the node takes such: speech and pictures may be large.
pub fn is_form(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let found = routes::decode(path).map(|path| routes::find(method, &path));
    matches!(found, Some(Found::Route(_, Means::Media))) && multipart::is_form(body::header(headers, &CONTENT_TYPE))
}

/// The model of a form, and where its name stands; the form need not have come to its end.
pub fn form_model(headers: &HeaderMap, form: &[u8]) -> Option<(String, Range<usize>)> {
    multipart::models(body::header(headers, &CONTENT_TYPE), form).next()
}

/// A body without the encoding that it came in; `None` if that is not known, or broken.
pub fn decoded(path: &str, headers: &HeaderMap, body: &Bytes) -> Option<Bytes> {
    body::decoded(path, headers, body)
}

/// Says what a request wants. `path` is the path as it came, without the query; `body` is whole, or empty for uploads.
/// Every request gets an ask: what cannot be read is `malformed`, or has no model.
pub fn classify(method: &Method, path: &str, headers: &HeaderMap, body: &Bytes) -> Ask {
    let decoded = routes::decode(path);
    let found = decoded.as_ref().map_or(Found::Unknown, |path| routes::find(method, path));
    let path = decoded.as_deref().unwrap_or(path);
    let reading = if body::is_told(method, found) { body::read(path, headers, body) } else { Reading::Opaque };
    let fields = reading.fields(path);
    let malformed = fields.is_none() && body::needs_json(method, found, &reading);
    let mut of_form = reading.form_models().iter().cloned();
    let (form_model, form_twins) = (of_form.next(), of_form.collect());
    let seen = Seen { form_model, form_twins, fields: fields.unwrap_or_default() };
    match found {
        Found::Route(route, means) => ask_of_route(path, route, means, malformed, &seen),
        Found::WrongMethod(route) => other(method, path, route, false, malformed, &seen),
        Found::Unknown => other(method, path, "other", !routes::needs_no_gpu(path), malformed, &seen),
    }
}

/// What a body told.
struct Seen<'a> {
    form_model: Option<String>,
    /// What further parts of a form name.
    form_twins: Vec<String>,
    fields: Fields<'a>,
}

impl Seen<'_> {
    /// The model by the field that the route takes it from.
    fn model(&self, means: Means) -> Option<String> {
        let text = |key| self.fields.text(key);
        match means {
            Means::Change(Mutation::Copy) => text("source"),
            Means::Show | Means::Change(_) => text("model").or_else(|| text("name")),
            _ => self.form_model.clone().or_else(|| text("model")),
        }
    }

    /// Further names: what a copy makes, what a create begins with, what another reader may take for the model.
    fn names(&self, means: Means) -> Vec<String> {
        let key = match means {
            Means::Change(Mutation::Copy) => "destination",
            Means::Change(Mutation::Create) => "from",
            _ => return self.twins(),
        };
        self.fields.text(key).into_iter().collect()
    }

    fn twins(&self) -> Vec<String> {
        self.form_twins.iter().cloned().chain(self.fields.twin()).collect()
    }

    /// Whether a native generate or chat has nothing to answer: it loads or unloads.
    fn says_nothing(&self, shape: Shape) -> bool {
        self.fields.is_empty(match shape {
            Shape::Generate => "prompt",
            Shape::Chat => "messages",
        })
    }

    fn streaming(&self, means: Means) -> bool {
        let asked = self.fields.flag("stream");
        match means {
            Means::Talk(shape) => asked.unwrap_or(true) && !self.says_nothing(shape),
            Means::Change(Mutation::Pull | Mutation::Push | Mutation::Create) => asked.unwrap_or(true),
            Means::V1Chat | Means::V1Generate | Means::Media => asked.unwrap_or(false),
            _ => false,
        }
    }

    fn preload(&self, means: Means, model: &Named<'_>) -> Option<Preload> {
        let (kind, native) = match means {
            Means::Talk(shape) => (preload::Kind::Talk(shape), Some(&self.fields)),
            Means::Embed => (preload::Kind::Embed, Some(&self.fields)),
            Means::V1Chat => (preload::Kind::Talk(Shape::Chat), None),
            Means::V1Generate => (preload::Kind::Talk(Shape::Generate), None),
            Means::V1Embed => (preload::Kind::Embed, None),
            _ => return None,
        };
        preload::preload(kind, model, native)
    }

    fn class(&self, path: &str, means: Means) -> Class {
        let verbose = || self.fields.raw("verbose").is_some_and(|raw| raw.get() != "false");
        let unloads = || self.fields.raw("keep_alive").is_some_and(keep_alive::is_zero);
        match means {
            Means::Tags => Class::Metadata(Metadata::Tags),
            Means::Version => Class::Metadata(Metadata::Version),
            Means::Status => Class::Metadata(Metadata::Status),
            Means::Ps => Class::Metadata(Metadata::Ps),
            Means::Models => Class::Metadata(Metadata::Models),
            Means::ModelById => Class::Metadata(Metadata::ModelById(routes::model_id(path).to_owned())),
            Means::Show => {
                let plain = !verbose() && self.fields.is_empty("system") && self.fields.is_empty("options");
                Class::Metadata(Metadata::Show { plain })
            }
            Means::Talk(shape) if self.says_nothing(shape) && unloads() => Class::Unload(shape),
            Means::Change(mutation) => Class::Mutation(mutation),
            Means::Talk(_) | Means::Embed | Means::V1Chat | Means::V1Generate | Means::V1Embed | Means::Media => Class::Inference,
        }
    }
}

/// A model's name that was read.
struct Named<'a> {
    text: &'a str,
    /// By Ollama's rules; `None` for what Ollama would refuse.
    name: Option<ModelName>,
    key: ModelKey,
}

impl<'a> Named<'a> {
    fn read(text: &'a str) -> Self {
        let name = ModelName::parse(text);
        Self { text, key: ModelKey::of_parsed(name.as_ref(), text), name }
    }
}

fn ask_of_route(path: &str, route: &'static str, means: Means, malformed: bool, seen: &Seen<'_>) -> Ask {
    let class = seen.class(path, means);
    let model = match &class {
        Class::Metadata(Metadata::ModelById(id)) => Some(id.clone()),
        _ => seen.model(means),
    };
    let named = model.as_deref().map(Named::read);
    let preload = named.as_ref().filter(|_| class == Class::Inference).and_then(|named| seen.preload(means, named));
    let key = named.map(|named| named.key);
    Ask {
        dialect: Dialect::of_path(path),
        route,
        model,
        key,
        names: seen.names(means),
        streaming: seen.streaming(means),
        replayable: !matches!(class, Class::Mutation(_)),
        malformed,
        preload,
        class,
    }
}

fn other(method: &Method, path: &str, route: &'static str, may_wake: bool, malformed: bool, seen: &Seen<'_>) -> Ask {
    let model = seen.fields.text("model");
    Ask {
        dialect: Dialect::of_path(path),
        route,
        class: Class::Other { may_wake: may_wake && method == Method::POST && model.is_some() },
        key: model.as_deref().map(ModelKey::of),
        model,
        names: seen.twins(),
        streaming: seen.fields.flag("stream").unwrap_or(false),
        // What an unknown POST does is unknown; it must not be done twice.
        replayable: method.is_safe(),
        malformed,
        preload: None,
    }
}
