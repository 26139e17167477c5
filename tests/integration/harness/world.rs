//! What all trials of a run share: the stage and the servers, each made when the first trial needs it.

use std::sync::{OnceLock, RwLock};

use anyhow::{Error, Result};

use crate::harness::mount::Mount;
use crate::harness::server::{Kind, Server};
use crate::harness::stage::Stage;

pub(crate) struct World {
    mounts: Vec<Mount>,
    stage: OnceLock<Result<Stage, String>>,
    servers: [Place; Kind::ALL.len()],
}

#[derive(Default)]
struct Place {
    server: OnceLock<Result<Box<dyn Server>, String>>,
    /// A case that reads the server's log holds the write lock, so that no other case writes to the log.
    log: RwLock<()>,
}

impl World {
    pub(crate) fn new(mounts: Vec<Mount>) -> Self {
        Self { mounts, stage: OnceLock::new(), servers: Default::default() }
    }

    pub(crate) fn stage(&self) -> Result<&Stage> {
        let made = self.stage.get_or_init(|| Stage::new().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|message| Error::msg(message.clone()))
    }

    pub(crate) fn server(&self, kind: Kind) -> Result<&dyn Server> {
        let stage = self.stage()?;
        let made = self
            .place(kind)
            .server
            .get_or_init(|| kind.start(stage, &self.mounts).map_err(|error| format!("{error:#}")));
        made.as_ref().map(AsRef::as_ref).map_err(|message| Error::msg(message.clone()))
    }

    /// Runs `action`; if `alone`, while no other case writes to the server's log.
    pub(crate) fn with_log<T>(&self, kind: Kind, alone: bool, action: impl FnOnce() -> T) -> T {
        // The lock guards no data that a panic could leave inconsistent.
        let lock = &self.place(kind).log;
        if alone {
            let _guard = lock.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            action()
        } else {
            let _guard = lock.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            action()
        }
    }

    /// Stops the servers and the zygotes. Fails if a process is left. The last owner of the world drops the stage.
    pub(crate) fn stop(&self) -> Result<()> {
        for place in &self.servers {
            if let Some(Ok(server)) = place.server.get() {
                server.stop();
            }
        }
        match self.stage.get() {
            Some(Ok(stage)) => stage.end_zygotes(),
            _ => Ok(()),
        }
    }

    fn place(&self, kind: Kind) -> &Place {
        let index = Kind::ALL.iter().position(|known| *known == kind);
        &self.servers[index.expect("every kind is in Kind::ALL")]
    }
}
