//! One request, as a front hands it over.

use super::encoding::{Reader, Writer};
use super::identity::Identity;
use super::service::Service;
use crate::cgi::variables::Variables;
use crate::timings::Moment;

/// One request. Descriptors 0, 1 and 2 of the front come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which zygote may answer it; nothing for a worker that was started for this request.
    pub identity: Option<Identity>,
    /// What is run and how: an encoded [`Service`].
    pub service: Vec<u8>,
    /// What the front's process is like.
    pub process: ProcessState,
    /// With `--timings`: when the front began, and when it had a worker.
    pub timed: Option<Timed>,
    /// Whether the debugger is started on the terminal where an exception is raised (`request --pdb`).
    pub debugs: bool,
    /// How much of the response the front wants to know.
    pub told: Told,
    /// The text at the end of the worker's lines on standard error; empty for none.
    pub label: String,
    /// The whole environment of the front.
    pub variables: Variables,
}

/// How much of the response a worker reports to the front, for its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Told {
    /// Only what every front must know.
    #[default]
    Nothing,
    /// Its status, and the bytes of its body.
    Numbers,
    /// Its head and a digest of its body too.
    Everything,
}

/// What a process that was started for this request would have inherited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessState {
    /// The file mode creation mask.
    pub umask: u32,
    /// The blocked signals, signal 1 as the lowest bit.
    pub signal_mask: u64,
    /// Whether SIGCHLD is ignored.
    pub ignores_sigchld: bool,
}

/// The front's part of the time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// When the front began.
    pub began: Moment,
    /// When it had a worker.
    pub handed_over: Moment,
}

impl Call {
    /// What is run and how, or nothing if that is damaged.
    pub fn service(&self) -> Option<Service> {
        Service::decode(&self.service)
    }

    pub(super) fn write(&self, fields: &mut Writer) {
        fields.put(self.identity.as_ref().map(Identity::as_bytes).unwrap_or_default());
        fields.put(&self.service);
        fields.put_number(self.process.umask);
        fields.put_number(self.process.signal_mask);
        fields.put_number(self.process.ignores_sigchld);
        fields.put_optional(self.timed.map(|timed| timed.began.to_nanos()));
        fields.put_optional(self.timed.map(|timed| timed.handed_over.to_nanos()));
        fields.put_number(self.debugs);
        fields.put_number(self.told as u8);
        fields.put(&self.label);
        for (name, value) in self.variables.iter() {
            fields.put(name);
            fields.put(value);
        }
    }

    pub(super) fn read(fields: &mut Reader<'_>) -> Option<Self> {
        let identity = Some(fields.bytes()?).filter(|bytes| !bytes.is_empty());
        let identity = identity.map(|bytes| Identity::from_bytes(bytes.to_vec()));
        let service = fields.bytes()?.to_vec();
        let process = ProcessState {
            umask: fields.number()?,
            signal_mask: fields.number()?,
            ignores_sigchld: fields.switch()?,
        };
        let timed = match (fields.optional()?, fields.optional()?) {
            (Some(began), Some(handed_over)) => Some(Timed {
                began: Moment::from_nanos(began),
                handed_over: Moment::from_nanos(handed_over),
            }),
            _ => None,
        };
        let debugs = fields.switch()?;
        let told = match fields.bytes()? {
            b"0" => Told::Nothing,
            b"1" => Told::Numbers,
            b"2" => Told::Everything,
            _ => return None,
        };
        let label = fields.text()?.to_owned();
        let mut pairs = Vec::new();
        while !fields.is_at_end() {
            pairs.push((fields.bytes()?, fields.bytes()?));
        }
        let variables = pairs.into_iter().collect();
        Some(Self { identity, service, process, timed, debugs, told, label, variables })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::service::tests::service;
    use super::*;

    pub(crate) fn call() -> Call {
        Call {
            identity: Some(Identity::from_bytes(b"who\0".to_vec())),
            service: service().encode(),
            process: ProcessState { umask: 0o027, signal_mask: 1 << 63, ignores_sigchld: true },
            timed: Some(Timed { began: Moment::from_nanos(7), handed_over: Moment::from_nanos(8) }),
            debugs: true,
            told: Told::Everything,
            label: "[GET /ü]".into(),
            variables: [("A", "1"), ("EMPTY", "")].into_iter().collect(),
        }
    }
}
