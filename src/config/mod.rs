//! What the user wrote: raw types one to one with the file, and what is wrong with it. No runtime types.

pub mod decode;
pub mod diagnostic;
pub mod fields;
mod http_scalars;
pub mod interpolate;
mod load;
mod macros;
pub mod mask;
pub mod node;
pub mod presets;
pub mod raw;
mod redis_url;
pub mod reference;
pub mod render;
pub mod scalars;
pub mod secret_source;
pub mod span;
pub mod table;
pub mod url;
pub mod yaml;

pub use self::{
    decode::{Decode, Decoder},
    diagnostic::{Diagnostic, Diagnostics, Severity},
    load::{Loaded, Report, load},
    node::Node,
    redis_url::RedisUrl,
    render::SourceMap,
    secret_source::{Resolver, SecretSource},
    span::{Sp, Span},
    url::HttpUrl,
};
