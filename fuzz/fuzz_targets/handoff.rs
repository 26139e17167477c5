//! Orders of a front to a worker: any bytes are read without harm, and what is written is read back.
//!
//! An input that begins with `raw=` has the bytes of an order after its build. Otherwise its pairs are the fields of a
//! request and of a zygote; other pairs are variables.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use cgi2wsgi::cgi::head::Form;
use cgi2wsgi::cgi::mount::Mount;
use cgi2wsgi::handoff::build::BUILD;
use cgi2wsgi::handoff::call::{ProcessState, Timed, Told};
use cgi2wsgi::handoff::encoding::Writer;
use cgi2wsgi::handoff::{
    Application, Call, Callable, Identity, Limits, Order, Service, Source, ZygoteOrder,
};
use cgi2wsgi::timings::Moment;
use cgi2wsgi_fuzz::{Pair, number, pairs, take, take_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    check_decode(input);
    if let Some(fields) = input.strip_prefix(b"raw=") {
        let mut build = Writer::default();
        build.put(BUILD);
        return check_decode(&[build.into_bytes().as_slice(), fields].concat());
    }
    let mut given = pairs(input);
    let service = service(&mut given);
    assert_eq!(Service::decode(&service.encode()).as_ref(), Some(&service));
    let zygote = zygote(&mut given, &service);
    let call = call(&given, &service, zygote.identity.clone());
    for order in [Order::Zygote(Box::new(zygote)), Order::Answer(Box::new(call))] {
        let encoded = order.encode();
        assert_eq!(Order::decode(&encoded).as_ref(), Ok(&order));
        for end in [encoded.len() - 1, encoded.len() / 2] {
            // Cut between two variables, the rest is a whole order with fewer of them.
            let cut = Order::decode(&encoded[..end]);
            assert!(cut.as_ref() != Ok(&order), "{end} of {} bytes are whole", encoded.len());
        }
    }
});

/// An order that can be decoded can be encoded again, and means the same.
fn check_decode(bytes: &[u8]) {
    match Order::decode(bytes) {
        Ok(order) => {
            if let Order::Answer(call) = &order
                && let Some(service) = call.service()
            {
                assert_eq!(Service::decode(&service.encode()), Some(service));
            }
            assert_eq!(Order::decode(&order.encode()), Ok(order));
        }
        Err(reason) => assert!(!reason.contains(char::is_control), "{reason:?}"),
    }
}

/// A service as the settings can make it.
fn service(given: &mut Vec<Pair>) -> Service {
    let file = take(given, "file").map(|file| Source::File(path(file)));
    let module = text(take(given, "module"));
    let venv = take(given, "venv").filter(|directory| !directory.is_empty());
    let mount = take(given, "mount").unwrap_or_default();
    Service {
        application: Application {
            source: file.unwrap_or(Source::Module(module)),
            callable: Callable {
                attributes: text(take(given, "callable")),
                is_factory: take(given, "factory").is_some(),
            },
            directory: path(take(given, "directory").unwrap_or_default()),
            import_directories: take_all(given, "import").into_iter().map(path).collect(),
            venv: venv.map(path),
        },
        mount: match mount.as_slice() {
            b"" => Mount::Server,
            b"auto" => Mount::Auto,
            digits if digits[0].is_ascii_digit() => {
                let rest = number(digits).and_then(|rest| usize::try_from(rest).ok());
                Mount::Handler { rest: rest.unwrap_or_default() }
            }
            root => Mount::At(root.to_vec()),
        },
        form: if take(given, "nph").is_some() { Form::Nph } else { Form::Cgi },
        max_body: take(given, "max-body").as_deref().and_then(number),
        debug: take(given, "debug").is_some(),
        has_timeout: take(given, "timeout").is_some(),
    }
}

fn zygote(given: &mut Vec<Pair>, service: &Service) -> ZygoteOrder {
    let mut small = |name| take(given, name).as_deref().and_then(number).unwrap_or_default();
    let limits = Limits {
        idle: Duration::from_millis(small("idle")),
        spare: u32::try_from(small("spare")).unwrap_or(u32::MAX),
        max: u32::try_from(small("max")).unwrap_or(u32::MAX),
        memory: Some(small("memory")).filter(|bytes| *bytes > 0),
        request: None,
        ignored: Vec::new(),
    };
    let (socket_identity, deadline) =
        (small("socket_identity"), Moment::from_nanos(small("deadline")));
    let request = take(given, "request").map(OsString::from_vec).filter(|path| !path.is_empty());
    ZygoteOrder {
        directory: path(take(given, "private").unwrap_or_default()),
        socket_identity,
        identity: Identity::from_bytes(take(given, "identity").unwrap_or_default()),
        worker: path(take(given, "worker").unwrap_or_default()),
        service: service.clone(),
        limits: Limits { request, ..limits },
        is_on_trial: service.debug,
        deadline,
        why: text(take(given, "why")),
    }
}

fn call(given: &[Pair], service: &Service, identity: Identity) -> Call {
    let timed = Timed { began: Moment::from_nanos(1), handed_over: Moment::from_nanos(u64::MAX) };
    Call {
        identity: Some(identity).filter(|identity| !identity.as_bytes().is_empty()),
        service: service.encode(),
        process: ProcessState { umask: 0o022, signal_mask: 1 << 63, ignores_sigchld: true },
        timed: service.debug.then_some(timed),
        debugs: false,
        told: Told::Numbers,
        label: "[GET /]".to_owned(),
        variables: given.iter().map(|(name, value)| (&name[..], &value[..])).collect(),
    }
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
