//! A test that stands between a front and a child of the zygote: both are the real ones, and what they say to each
//! other passes when the test lets it.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cgi2wsgi::warm::message::{Call, HELLO};

use crate::process::{PATIENCE, User, as_user, wait_readable};
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

pub(crate) fn hello(child: &mut UnixStream) -> Result<()> {
    let mut hello = vec![0; HELLO.len()];
    wait_readable(child.as_fd(), Instant::now() + PATIENCE)?;
    child.read_exact(&mut hello).context("no hello")?;
    ensure!(hello == HELLO, "{hello:?}");
    Ok(())
}

/// The call of a front that is greeted, with its descriptors.
pub(crate) fn call_of(front: &mut UnixStream) -> Result<(Call, [OwnedFd; 3])> {
    front.write_all(HELLO)?;
    wait_readable(front.as_fd(), Instant::now() + PATIENCE)?;
    Call::receive(front.as_fd())?.context("no call")
}

pub(crate) fn send_call(child: &UnixStream, call: &Call, descriptors: &[OwnedFd; 3]) -> Result<()> {
    let [stdin, stdout, stderr] = descriptors;
    Ok(call.send(child.as_fd(), [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?)
}
