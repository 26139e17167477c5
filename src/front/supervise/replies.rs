//! What a supervising front does about each reply of the worker.

use std::os::fd::AsFd;

use rustix::stdio::stdout;

use super::own_server::Glance;
use super::process::Process;
use super::{NotBegun, Outcome, Step, Supervised, Supervision, not_begun};
use crate::cgi::output::{Output, is_gone};
use crate::cgi::refusal::Refusal;
use crate::front::account;
use crate::front::exit::{FAILED, MISCONFIGURED};
use crate::front::refuse::{self, Rest};
use crate::handoff::Reply;
use crate::handoff::build::BUILD;
use crate::report;
use crate::timings::Moment;

impl Supervision<'_> {
    /// Acts on the worker's replies. Returns an outcome if the worker cannot answer.
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
                Reply::Alone(reason) if self.step < Step::Begun => report::falls_back(&reason),
                Reply::Begun(pid) => self.begin(pid),
                Reply::Terminating => self.repeated = None,
                Reply::HandlesSigterm => self.repeats = false,
                Reply::Serves(reason) => self.end_own_server(reason),
                Reply::Traced => {
                    if let Some(ending) = self.ending.as_mut().filter(|ending| !ending.is_killed) {
                        ending.until = Moment::now();
                    }
                }
                Reply::Refused { status, details, timings, exit, owed, lives_on }
                    if self.step < Step::Answering =>
                {
                    let refusal = Refusal { status, reason: String::new(), details, timings };
                    self.exit = exit;
                    // Without a server, a person wants the reason in the log, not a page.
                    if exit == MISCONFIGURED && !self.request.variables.are_from_a_server() {
                        self.step = Step::Over;
                    } else {
                        self.answer(&refusal, self.owed(owed), lives_on);
                    }
                }
                Reply::Head if self.step < Step::Answering => {
                    self.step = Step::Answering;
                }
                Reply::Responding { status, head } if self.step < Step::Answering => {
                    account::headed(status, head);
                }
                Reply::Delivered { bytes, digest } => account::delivered(bytes, digest),
                Reply::Runs(version) => account::python(version),
                Reply::Done { is_whole, owed, last, lives_on } if self.step == Step::Answering => {
                    if lives_on {
                        self.held = refuse::release_output();
                    } else {
                        self.hold_response(last);
                    }
                    account::done(is_whole);
                    self.step = Step::Over;
                    self.exit = if is_whole { 0 } else { FAILED };
                    self.repeated = None;
                    let owed = self.owed(owed);
                    let rest = Rest::of_worker(owed, self.request.deadline);
                    self.rest = rest.ok().filter(|rest| rest.source().is_some());
                }
                Reply::Exits => self.is_finished = !self.worker.process.is_own(),
                // Too late, or sent twice: an application has found the connection.
                Reply::Stale
                | Reply::Cold(_)
                | Reply::Alone(_)
                | Reply::Refused { .. }
                | Reply::Responding { .. }
                | Reply::Head
                | Reply::Done { .. } => {}
            }
        }
        None
    }

    /// How much of the request body the server may deliver, if the worker reports `owed`.
    fn owed(&self, owed: u64) -> u64 {
        if self.request.streams.has_body() { self.request.owed } else { owed }
    }

    pub(super) fn begin(&mut self, pid: u32) {
        if self.step >= Step::Begun {
            return;
        }
        self.step = Step::Begun;
        account::begun(pid);
        if !self.worker.process.is_own() {
            let end = self.incoming.descriptors.pop();
            self.worker.process = Process::of_zygote(pid, end);
        }
        self.glance = self.worker.process.is_own().then(Glance::first);
        self.show_import();
        if self.is_interrupted && !self.worker.process.is_own() {
            self.worker.process.signal(libc::SIGINT);
        }
    }

    /// Shows the output of the import to the request that caused it.
    pub(super) fn show_import(&self) {
        if let Some(import) = self.request.import {
            // A standard error that is gone is no reason to fail.
            let _ = import.copy_to(&mut report::Standard);
        }
    }

    /// Writes this process' own answer, which ends now or with the worker.
    pub(super) fn answer(&mut self, refusal: &Refusal, owed: u64, ends_now: bool) {
        let Supervised { variables, form, deadline, .. } = self.request;
        let (rest, output) = refuse::answer(refusal, variables, *form, owed, *deadline);
        self.rest = rest.filter(|rest| rest.source().is_some());
        self.held = output;
        if ends_now {
            self.end_response();
        }
        self.step = Step::Over;
        self.repeated = None;
    }

    /// The worker writes no more. Keeps the descriptor for the end of the response.
    pub(super) fn hold_response(&mut self, last: Option<u8>) {
        let output = stdout().try_clone_to_owned().ok().map(Output::new);
        let socket = refuse::release_output();
        self.held = output.or(socket);
        self.last = last;
    }

    /// Sends what is left of the response, and ends it. Returns false if there is no room yet.
    pub(super) fn end_response(&mut self) -> bool {
        let Some(output) = self.held.take() else { return true };
        match self.last.map_or(Ok(true), |last| output.write_if_ready(last)) {
            Ok(true) => {}
            Ok(false) => {
                self.held = Some(output);
                return false;
            }
            Err(error) => {
                self.exit = FAILED;
                account::done(false);
                if !is_gone(&error) {
                    report::error(&format!("the end of the response cannot be written: {error}"));
                }
            }
        }
        self.last = None;
        output.end(self.is_finished && !self.is_body_left());
        true
    }

    /// Whether the server may still deliver some of the request body.
    pub(super) fn is_body_left(&self) -> bool {
        self.rest.as_ref().and_then(Rest::source).is_some()
    }

    /// The descriptor that is to take the last byte of the response now.
    pub(super) fn waits_for_room(&self) -> Option<&Output> {
        self.held.as_ref().filter(|_| self.is_finished && self.last.is_some())
    }
}
