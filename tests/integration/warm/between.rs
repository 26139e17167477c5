//! A test between a front and a child of the zygote. Both are real; the test decides when each message passes.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use cgi2wsgi::handoff::build::BUILD;
use cgi2wsgi::handoff::channel::{Incoming, Outgoing, receive_order, send_reply};
use cgi2wsgi::handoff::{Call, Order, Reply};
use cgi2wsgi::timings::Moment;

use crate::harness::process::{PATIENCE, User, as_user, wait_readable};
use crate::warm::site::Site;

/// The socket of a site's one zygote, with the test listening in its place.
pub(crate) struct Between {
    path: PathBuf,
    real: PathBuf,
    listener: UnixListener,
    user: User,
}

impl Between {
    pub(crate) fn new(site: &Site<'_>) -> Result<Self> {
        let path = site.placed(".socket").pop().context("no socket")?;
        let real = path.with_extension("real");
        fs::rename(&path, &real)?;
        let user = site.stage.user.clone();
        let listener = as_user(&user, || UnixListener::bind(&path))?.context("cannot listen")?;
        Ok(Self { path, real, listener, user })
    }

    /// The next front that connects.
    pub(crate) fn accept(&self) -> Result<UnixStream> {
        wait_readable(self.listener.as_fd(), Instant::now() + PATIENCE)?;
        Ok(self.listener.accept()?.0)
    }

    /// A connection to the zygote, as a front makes one.
    pub(crate) fn connect(&self) -> Result<UnixStream> {
        as_user(&self.user, || UnixStream::connect(&self.real))?.context("no zygote listens")
    }

    /// Puts the zygote's own socket back.
    pub(crate) fn step_aside(self) -> Result<()> {
        Ok(fs::rename(&self.real, &self.path)?)
    }
}

/// The child's next reply, with its descriptor; `None` if the child has ended.
pub(crate) fn reply_of(child: &UnixStream) -> Result<Option<(Reply, Option<OwnedFd>)>> {
    let mut incoming = Incoming::default();
    // A byte at a time, so that the next call finds what follows.
    loop {
        wait_readable(child.as_fd(), Instant::now() + PATIENCE)?;
        incoming.fill_at_most(child.as_fd(), 1);
        if let Some(reply) = incoming.take() {
            return Ok(Some((reply, incoming.descriptors.pop())));
        }
        if incoming.is_over {
            return Ok(None);
        }
    }
}

pub(crate) fn hello(child: &UnixStream) -> Result<()> {
    let (reply, _) = reply_of(child)?.context("no hello")?;
    ensure!(reply == Reply::Hello(BUILD.to_owned()), "{reply:?}");
    Ok(())
}

/// Greets a front; returns its call and the descriptors.
pub(crate) fn call_of(front: &UnixStream) -> Result<(Call, Vec<OwnedFd>)> {
    say(front, &Reply::Hello(BUILD.to_owned()))?;
    let deadline = Moment::now() + PATIENCE;
    let (order, descriptors) = receive_order(front.as_fd(), Some(deadline))?.context("no call")?;
    match Order::decode(&order).map_err(anyhow::Error::msg)? {
        Order::Answer(call) => Ok((*call, descriptors)),
        order @ Order::Zygote(_) => bail!("{order:?}"),
    }
}

pub(crate) fn send_call(child: &UnixStream, call: &Call, descriptors: &[OwnedFd]) -> Result<()> {
    let order = Order::Answer(Box::new(call.clone())).encode();
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut outgoing = Outgoing::new(&order);
    outgoing.send(child.as_fd(), Some(&descriptors))?;
    ensure!(outgoing.is_sent(), "the call is too large for the socket");
    Ok(())
}

/// Sends a front the reply of a child.
pub(crate) fn say(front: &UnixStream, reply: &Reply) -> Result<()> {
    ensure!(send_reply(front, reply, None), "the front is gone");
    Ok(())
}
