//! The worker: what the site's own Python loads (`python -c BOOT`, see the front's `launch`). It takes an order from
//! the front, answers one request with the application or becomes a zygote, and ends the process.
//!
//! It shares a process with somebody else's application, so it does as little as possible there: the front does
//! whatever can be done from outside.
//!
//! - [`serve`]: one request, from the order to the end of the response;
//! - [`wsgi`]: PEP 3333; [`python`]: work on the interpreter;
//! - [`zygote`]: the process that has imported the application, and its children;
//! - [`clock`]: where the time of a request goes; [`connection`]: the front; [`descriptors`]: the request's
//!   descriptors; [`handlers`]: what the kernel calls.

mod clock;
mod connection;
mod descriptors;
mod handlers;
mod python;
mod serve;
mod wsgi;
mod zygote;

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use cgi2wsgi::handoff::build::BUILD;
use cgi2wsgi::handoff::channel::receive_order;
use cgi2wsgi::handoff::{Order, Reply};
use cgi2wsgi::{report, system};
use pyo3::prelude::*;

use self::connection::Connection;
use self::python::finish;

/// What Python loads.
#[pymodule]
fn cgi2wsgi_worker(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(run, module)?)
}

/// What a process was, when its order is carried out and it is to end.
pub(crate) enum Over {
    /// No application has run in it.
    Nothing,
    /// It was started for one request, which it has answered.
    Answered,
    /// A zygote's child that has something to finalize.
    Child,
    /// A zygote.
    Zygote,
    /// It has imported an application that no child can be forked from, and no request waits for it.
    Import,
}

/// Takes the order that comes by the descriptor whose number is Python's first argument, and carries it out. Then ends
/// the process, or returns so that Python tears itself down.
#[pyfunction]
fn run(py: Python<'_>) -> PyResult<()> {
    let number: String = py.import("sys")?.getattr("argv")?.get_item(1)?.extract()?;
    // The front has opened it for this process.
    let descriptor = system::owned(number.parse::<RawFd>()?);
    // A panic is a defect of cgi2wsgi. The front answers when this process has ended.
    let ended = catch_unwind(AssertUnwindSafe(|| obey(py, descriptor)));
    match ended {
        Ok(Over::Answered) if finish::is_anything_to_finalize(py).is_none() => finish::leave(py),
        Ok(Over::Answered) => finish::prepare_tear_down(py),
        Ok(Over::Child) => finish::prepare_tear_down_of_child(py),
        Ok(Over::Import) => finish::prepare_tear_down_of_import(py),
        Ok(Over::Zygote) => finish::prepare_tear_down_of_zygote(py),
        Ok(Over::Nothing) => finish::leave_at_once(0),
        Err(_) => finish::leave_at_once(1),
    }
    Ok(())
}

fn obey(py: Python<'_>, descriptor: OwnedFd) -> Over {
    let failed = |reason: &str| {
        report::error(reason);
        Over::Nothing
    };
    python::prepare(py);
    let connection = match descriptors::out_of_the_way(descriptor).map(Connection::new) {
        Ok(connection) => connection,
        Err(error) => return failed(&format!("the connection to the front: {error}")),
    };
    connection.send(&Reply::Hello(BUILD.to_owned()));
    let (order, descriptors) = match receive_order(connection.as_fd(), None) {
        Ok(Some(received)) => received,
        // The front is gone.
        Ok(None) => return Over::Nothing,
        Err(error) => return failed(&format!("no order from the front: {error}")),
    };
    match Order::decode(&order) {
        Ok(Order::Answer(call)) => serve::cold(py, &call, descriptors, connection),
        Ok(Order::Zygote(order)) => {
            drop(connection);
            zygote::run(py, &order, descriptors)
        }
        Err(reason) => failed(&reason),
    }
}
