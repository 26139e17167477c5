//! What a supervising front does about each thing that the worker says.

use std::io;
use std::os::fd::AsFd;

use super::process::Process;
use super::{NotBegun, Outcome, Step, Supervised, Supervision, not_begun};
use crate::cgi::refusal::Refusal;
use crate::front::exit::{FAILED, MISCONFIGURED};
use crate::front::refuse::{self, Rest};
use crate::handoff::Reply;
use crate::handoff::build::BUILD;
use crate::timings::Moment;

impl Supervision<'_> {
    /// Acts on what the worker has said. An outcome: it cannot answer.
    pub(super) fn hear(&mut self) -> Option<Outcome> {
        self.incoming.fill(self.worker.connection.as_fd());
        while let Some(reply) = self.incoming.take() {
            match reply {
                Reply::Hello(build) if build == BUILD => self.step = self.step.max_of(Step::Loaded),
                Reply::Hello(build) => return Some(not_begun(NotBegun::OtherBuild(build))),
                Reply::Unusable(reason) => self.unusable = Some(reason),
                Reply::Stale if self.step < Step::Begun => return Some(not_begun(NotBegun::Stale)),
                Reply::Cold(reason) if self.step < Step::Begun => {
                    return Some(not_begun(NotBegun::Cold(reason)));
                }
                Reply::Begun(pid) => self.begin(pid),
                Reply::Terminating => self.repeated = None,
                Reply::HandlesSigterm => self.repeats = false,
                Reply::Traced => {
                    if let Some(ending) = self.ending.as_mut().filter(|ending| !ending.is_killed) {
                        ending.until = Moment::now();
                    }
                }
                Reply::Refused { status, details, timings, exit, owed }
                    if self.step < Step::Answering =>
                {
                    let refusal = Refusal { status, reason: String::new(), details, timings };
                    self.exit = exit;
                    // Where no server asked, the reason in the log is what a person wants.
                    if exit == MISCONFIGURED && !self.request.variables.are_from_a_server() {
                        self.step = Step::Over;
                    } else {
                        self.answer(&refusal, owed);
                    }
                }
                Reply::Head if self.step < Step::Answering => {
                    self.step = Step::Answering;
                    refuse::release_output();
                }
                Reply::Done { is_whole, owed } if self.step == Step::Answering => {
                    self.step = Step::Over;
                    self.exit = if is_whole { 0 } else { FAILED };
                    self.repeated = None;
                    self.rest = Rest::of_worker(owed).ok().filter(|rest| rest.source().is_some());
                }
                Reply::Exits => self.is_finished = !self.worker.process.is_own(),
                // Said too late, or twice: an application that has found the connection.
                Reply::Stale
                | Reply::Cold(_)
                | Reply::Refused { .. }
                | Reply::Head
                | Reply::Done { .. } => {}
            }
        }
        None
    }

    pub(super) fn begin(&mut self, pid: u32) {
        if self.step >= Step::Begun {
            return;
        }
        self.step = Step::Begun;
        if !self.worker.process.is_own() {
            let end = self.incoming.descriptors.pop();
            self.worker.process = Process::of_zygote(pid, end);
        }
        self.show_import();
        if self.is_interrupted && !self.worker.process.is_own() {
            self.worker.process.signal(libc::SIGINT);
        }
    }

    /// The request that has the application imported gets what that has to say.
    pub(super) fn show_import(&self) {
        if let Some(import) = self.request.import {
            // A standard error that is gone is no reason to fail.
            let _ = import.copy_to(&mut io::stderr());
        }
    }

    /// Writes an answer of this process' own.
    pub(super) fn answer(&mut self, refusal: &Refusal, owed: u64) {
        let Supervised { variables, form, .. } = self.request;
        self.rest =
            refuse::answer(refusal, variables, *form, owed).filter(|rest| rest.source().is_some());
        self.step = Step::Over;
        self.repeated = None;
    }
}
