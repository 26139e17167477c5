//! A test that stands between a front and a child of the zygote: both are the real ones, and what they say to each
//! other passes when the test lets it.

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

    /// The front that comes next.
    pub(crate) fn accept(&self) -> Result<UnixStream> {
        wait_readable(self.listener.as_fd(), Instant::now() + PATIENCE)?;
        Ok(self.listener.accept()?.0)
    }

    /// A connection to the zygote, as a front makes one.
    pub(crate) fn connect(&self) -> Result<UnixStream> {
        as_user(&self.user, || UnixStream::connect(&self.real))?.context("nobody listens")
    }

    /// The zygote's own socket is where it was.
    pub(crate) fn step_aside(self) -> Result<()> {
        Ok(fs::rename(&self.real, &self.path)?)
    }
}

/// The next thing that a child says, with the descriptor that comes with it; nothing if it is gone.
pub(crate) fn reply_of(child: &UnixStream) -> Result<Option<(Reply, Option<OwnedFd>)>> {
    let mut incoming = Incoming::default();
    // A byte at a time, so that what follows is there for the next one.
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

/// The call of a front that is greeted, with its descriptors.
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
    outgoing.send(child.as_fd(), &descriptors)?;
    ensure!(outgoing.is_sent(), "the call is too large for the socket");
    Ok(())
}

/// Says to a front what a child would.
pub(crate) fn say(front: &UnixStream, reply: &Reply) -> Result<()> {
    ensure!(send_reply(front, reply, None), "the front is gone");
    Ok(())
}
