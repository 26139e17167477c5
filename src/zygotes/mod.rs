//! The private directory that fronts and zygotes share, and what is in it.
//!
//! - [`directory`]: where zygotes of one user are found;
//! - [`lock`]: who may make and remove a socket;
//! - [`import_output`]: what is written while a zygote imports;
//! - [`status`], [`log`]: what zygotes report to a person;
//! - [`churn`]: files that end one zygote after another;
//! - [`process`]: what the system tells of processes;
//! - [`spare`]: when a child is forked for the next request;
//! - [`left_open`], [`polling`], [`names`], [`memory`], [`prefault`], [`threads`]: the parts of a zygote's work that
//!   need no Python.
//!
//! Left out: how a front connects (its `connect`), and the zygote itself (the worker's `zygote`).

pub mod churn;
pub mod directory;
pub mod import_output;
pub mod left_open;
pub mod lock;
pub mod log;
pub mod memory;
pub mod names;
pub mod polling;
pub mod prefault;
pub mod process;
mod remote;
pub mod spare;
pub mod status;
pub mod threads;
