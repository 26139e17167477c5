//! The order to a new zygote: whose requests it answers, where its socket is, and its limits.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::encoding::{Reader, Writer};
use super::identity::Identity;
use super::limits::Limits;
use super::service::Service;
use crate::timings::Moment;

/// What one zygote is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZygoteOrder {
    /// The private directory.
    pub directory: PathBuf,
    /// What distinguishes its socket's file from a later one at the same path.
    pub socket_identity: u64,
    /// Whose requests it answers.
    pub identity: Identity,
    /// The file from which the worker was loaded.
    pub worker: PathBuf,
    /// What it imports.
    pub service: Service,
    /// Its limits.
    pub limits: Limits,
    /// Whether no request waits for it, because the last zygote could not serve.
    pub is_on_trial: bool,
    /// When the import is aborted: without `--timeout`, after [`Limits::idle`].
    pub deadline: Moment,
    /// Why it is started.
    pub why: String,
}

impl ZygoteOrder {
    pub(super) fn write(&self, fields: &mut Writer) {
        fields.put_path(&self.directory);
        fields.put_number(self.socket_identity);
        fields.put(self.identity.as_bytes());
        fields.put_path(&self.worker);
        fields.put(self.service.encode());
        fields.put_number(u64::try_from(self.limits.idle.as_millis()).unwrap_or(u64::MAX));
        fields.put_number(self.limits.spare);
        fields.put_number(self.limits.max);
        fields.put(self.limits.request.as_deref().unwrap_or_default().as_bytes());
        fields.put_number(self.limits.ignored.len() as u64);
        for name in &self.limits.ignored {
            fields.put(name.as_bytes());
        }
        fields.put_optional(self.limits.memory);
        fields.put_number(self.is_on_trial);
        fields.put_number(self.deadline.to_nanos());
        fields.put(&self.why);
    }

    pub(super) fn read(fields: &mut Reader<'_>) -> Option<Self> {
        let (directory, socket_identity) = (fields.path()?, fields.number()?);
        let identity = Identity::from_bytes(fields.bytes()?.to_vec());
        let worker = fields.path()?;
        let service = Service::decode(fields.bytes()?)?;
        let limits = Limits {
            idle: Duration::from_millis(fields.number()?),
            spare: fields.number()?,
            max: fields.number()?,
            request: Some(fields.os_string()?).filter(|path| !path.is_empty()),
            ignored: {
                let count: usize = fields.number()?;
                (0..count).map(|_| fields.os_string()).collect::<Option<_>>()?
            },
            memory: fields.optional()?,
        };
        let is_on_trial = fields.switch()?;
        let deadline = Moment::from_nanos(fields.number()?);
        let why = fields.text()?.to_owned();
        Some(Self {
            directory,
            socket_identity,
            identity,
            worker,
            service,
            limits,
            is_on_trial,
            deadline,
            why,
        })
    }
}
