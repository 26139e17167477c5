//! The request body and the response, as `wsgi.input`, `start_response`,
//! `write` and the call share them.
//!
//! No thread waits for a lock while it holds Python's lock: one that reads or writes detaches from Python first.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cgi2wsgi::cgi::body::Body;
use cgi2wsgi::cgi::head::Head;
use cgi2wsgi::cgi::output::is_gone;
use cgi2wsgi::cgi::response::Response;
use cgi2wsgi::report;
use pyo3::prelude::*;

/// One request's two directions.
pub(crate) struct Exchange {
    pub(crate) body: Arc<Mutex<Body>>,
    /// `None` when the response is over.
    response: Mutex<Option<Response>>,
    /// Whether a write found that the reader of the response has gone.
    gone: AtomicBool,
}

/// After a signal: runs Python's handlers, which may raise.
pub(crate) fn interrupted() -> io::Result<()> {
    Python::attach(|py| Ok(py.check_signals()?))
}

impl Exchange {
    pub(crate) fn new(response: Response, body: Body) -> Self {
        Self {
            body: Arc::new(Mutex::new(body)),
            response: Mutex::new(Some(response)),
            gone: AtomicBool::new(false),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Response) -> io::Result<T>) -> io::Result<T> {
        let mut response = lock(&self.response);
        let Some(response) = response.as_mut() else {
            return Err(io::Error::other("the response is over"));
        };
        let result = act(response);
        for warning in response.take_warnings() {
            report::warning(&warning);
        }
        if result.as_ref().is_err_and(is_gone) {
            self.gone.store(true, Ordering::SeqCst);
        }
        result
    }

    /// Whether the visitor left before the response was delivered.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Whether `start_response` was called, and whether the head is sent.
    pub(crate) fn head_state(&self) -> (bool, bool) {
        self.with(|response| Ok((response.has_head(), response.is_head_sent())))
            .unwrap_or((true, true))
    }

    /// The status of the head, once the application has given one.
    pub(crate) fn status(&self) -> Option<u16> {
        self.with(|response| Ok(response.code())).ok().flatten()
    }

    /// Whether the server has all that the head declares.
    pub(crate) fn is_whole(&self) -> bool {
        self.with(|response| Ok(response.is_whole())).unwrap_or(true)
    }

    /// How many bytes of the body were sent, and their digest if that was asked for.
    pub(crate) fn delivered(&self) -> (u64, Option<u64>) {
        self.with(|response| Ok((response.bytes(), response.digest()))).unwrap_or_default()
    }

    pub(crate) fn set_head(&self, head: Head) -> io::Result<()> {
        self.with(|response| {
            response.set_head(head);
            Ok(())
        })
    }

    pub(crate) fn declare_length(&self, length: u64) -> io::Result<()> {
        self.with(|response| {
            response.declare_length(length);
            Ok(())
        })
    }

    /// False if the body is longer than declared, and was cut.
    pub(crate) fn write(&self, py: Python<'_>, chunk: &[u8]) -> io::Result<bool> {
        py.detach(|| self.with(|response| response.write(chunk, &self.body, &interrupted)))
    }

    pub(crate) fn write_file(&self, py: Python<'_>, file: &File) -> io::Result<()> {
        py.detach(|| self.with(|response| response.write_file(file, &self.body, &interrupted)))
    }

    /// False if the body is shorter than declared.
    pub(crate) fn finish(&self, py: Python<'_>) -> io::Result<bool> {
        py.detach(|| self.with(|response| response.finish(&self.body, &interrupted)))
    }

    /// Whether the head is sent, or about to be: no other process may answer.
    pub(crate) fn has_begun(&self) -> bool {
        self.head_state().1
    }

    pub(crate) fn body_ended_early(&self) -> bool {
        lock(&self.body).ended_early()
    }

    /// Stops reading the request body, and leaves standard output open until the process has ended: the server sees the
    /// end of the response when everything that the application left is finished. Returns the same as [`Self::close`],
    /// and the last byte.
    pub(crate) fn hold(&self) -> (u64, Option<u8>) {
        let last = lock(&self.response).take().and_then(Response::hold);
        (self.abandon(), last)
    }

    /// Closes standard output, and stops reading the request body. Returns how much of the body the server has not
    /// delivered yet; 0 also if another thread is reading it.
    pub(crate) fn close(&self, py: Python<'_>) -> u64 {
        let response = lock(&self.response).take();
        // A visitor has left, or a signal ends this process: nothing more can be sent.
        let _ = py.detach(|| response.map(|response| response.close(&self.body, &interrupted)));
        self.abandon()
    }

    /// The same, but standard output stays open, because the front is to answer.
    pub(crate) fn abandon(&self) -> u64 {
        drop(lock(&self.response).take());
        self.body.try_lock().map_or(0, |mut body| body.surrender())
    }
}

/// Locks, even after a panic: that makes no difference to what is behind the lock, descriptors and counters.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
