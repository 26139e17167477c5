//! The messages between the front and a worker, over one stream socket.
//!
//! The front sends an [`order`]: answer this request ([`Call`]), or become a zygote ([`ZygoteOrder`]). The worker tells
//! how far it is ([`Reply`]). Everything is written in one encoding ([`encoding`]).
//!
//! A request has begun exactly when [`Reply::Begun`] was sent: without it nothing of the application has run for this
//! request. Until [`Reply::Head`] was sent, the front may answer instead.
//!
//! Left out: which process starts which, and what is done when a reply does not come (the front's `supervise`).

pub mod application;
pub mod build;
pub mod call;
pub mod channel;
pub mod encoding;
pub mod identity;
pub mod limits;
pub mod order;
pub mod reply;
pub mod request_variables;
pub mod service;
pub mod signals;
pub mod zygote;

pub use self::application::{Application, Callable, Source};
pub use self::call::Call;
pub use self::identity::Identity;
pub use self::limits::Limits;
pub use self::order::Order;
pub use self::reply::Reply;
pub use self::service::Service;
pub use self::zygote::ZygoteOrder;
