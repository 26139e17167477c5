//! Which zygote may answer which request: the one that has imported this application, for this user, in these
//! surroundings. Everything that an application may read during its import is part of the identity. What belongs to one
//! request is not, and is removed before the import.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::build::BUILD;
use super::encoding::{Reader, Writer};
use super::limits::Limits;
use super::service::Service;
use crate::cgi::mount::Mount;
use crate::cgi::variables::Variables;
use crate::system::{self, Disposition};

/// Everything that must be the same, as bytes that are compared whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Vec<u8>);

/// How many first letters of [`Identity::name`] are the same for identities that differ only in variables.
pub const SHARED_LETTERS: usize = 8;

impl Identity {
    /// The identity for `service`, run by the interpreter `python` with the file `worker` within
    /// `limits`, for a request with `variables` in this process' surroundings.
    pub fn new(
        service: &Service,
        limits: &Limits,
        python: &Path,
        worker: &Path,
        variables: &Variables,
    ) -> Self {
        let mut base = Writer::default();
        base.put(service_of_all_requests(service).encode());
        base.put(format!("{limits:?}"));
        base.put(BUILD);
        base.put(file_of(python));
        base.put(file_of(worker));
        base.put(process_state());
        let mut fields = Writer::default();
        // The first letters of the name are a hash of this field.
        fields.put(base.into_bytes());
        let mut surroundings: Vec<_> =
            variables.iter().filter(|(name, _)| !limits.is_of_a_request(name)).collect();
        surroundings.sort_unstable();
        for (name, value) in surroundings {
            fields.put(name);
            fields.put(value);
        }
        Self(fields.into_bytes())
    }

    /// The identity that [`Self::as_bytes`] gave.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The whole identity, as it is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A name for files. Its first [`SHARED_LETTERS`] letters are the same for identities that differ only in
    /// variables. Two identities may have one name: a zygote compares the whole identity.
    pub fn name(&self) -> String {
        let hash = |bytes: &[u8]| {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            hasher.finish()
        };
        // Short: a socket's address has at most 107 bytes.
        let base = hash(self.base()) >> 32;
        format!("{base:08x}{:016x}", hash(&self.0))
    }

    /// The first field: all but the variables.
    fn base(&self) -> &[u8] {
        Reader::new(&self.0).bytes().unwrap_or(&self.0)
    }
}

/// `service` without the length in [`Mount::Handler`], which differs between requests.
fn service_of_all_requests(service: &Service) -> Service {
    let mut service = service.clone();
    if let Mount::Handler { rest } = &mut service.mount {
        *rest = 0;
    }
    service
}

/// Describes a file so that another file at the same path is distinguished.
fn file_of(path: &Path) -> String {
    let facts = std::fs::metadata(path).map_or_else(
        |error| error.to_string(),
        |file| {
            let (seconds, nanoseconds) = (file.mtime(), file.mtime_nsec());
            format!("{} {} {} {seconds}.{nanoseconds}", file.dev(), file.ino(), file.size())
        },
    );
    format!("{} {facts}", path.display())
}

/// What a child cannot change back, or only in one direction: users, limits, ignored signals, the scheduler's settings.
fn process_state() -> String {
    use rustix::process::{getegid, geteuid, getgid, getgroups, getuid};
    let limits = [
        Resource::As,
        Resource::Core,
        Resource::Cpu,
        Resource::Data,
        Resource::Fsize,
        Resource::Memlock,
        Resource::Nofile,
        Resource::Nproc,
        Resource::Stack,
    ];
    let limits: Vec<String> = limits
        .into_iter()
        .map(|resource| {
            let limit = getrlimit(resource);
            format!("{:?}/{:?}", limit.current, limit.maximum)
        })
        .collect();
    // They decide which file a path names, and which process an address reaches.
    let root = std::fs::metadata("/").map(|root| (root.dev(), root.ino())).ok();
    let namespaces = ["mnt", "net", "pid", "user"]
        .map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok());
    format!(
        "{}/{} {}/{} {:?} {} {:?} {:?} {root:?} {namespaces:?}",
        getuid().as_raw(),
        geteuid().as_raw(),
        getgid().as_raw(),
        getegid().as_raw(),
        getgroups().unwrap_or_default(),
        limits.join(" "),
        ignored_signals(),
        rustix::process::getpriority_process(None).ok(),
    )
}

/// The signals that this process was started with as ignored. Rust itself ignores SIGPIPE, and the front ignores
/// SIGXFSZ, so these are left out.
fn ignored_signals() -> Vec<i32> {
    (1..32)
        .filter(|signal| ![libc::SIGPIPE, libc::SIGXFSZ].contains(signal))
        .filter(|signal| system::disposition(*signal) == Disposition::Ignored)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::application::{Application, Callable, Source};
    use super::*;
    use crate::cgi::head::Form;

    fn service(file: &str) -> Service {
        Service {
            application: Application {
                source: Source::File(file.into()),
                callable: Callable::default(),
                directory: "/".into(),
                import_directories: Vec::new(),
                venv: None,
            },
            mount: Mount::Server,
            form: Form::Cgi,
            max_body: None,
            debug: false,
            has_timeout: false,
        }
    }

    fn identity(file: &str, variables: &[(&str, &str)]) -> Identity {
        let variables = variables.iter().copied().collect();
        let program = Path::new("/bin/true");
        Identity::new(&service(file), &Limits::default(), program, program, &variables)
    }

    #[test]
    fn what_belongs_to_a_request_makes_no_difference() {
        let one = identity("/a.py", &[("LANG", "C"), ("HTTP_HOST", "a"), ("PATH_INFO", "/x")]);
        let other =
            identity("/a.py", &[("HTTP_COOKIE", "b"), ("LANG", "C"), ("REMOTE_ADDR", "::1")]);
        assert_eq!(one, other);
    }

    #[test]
    fn v2_what_a_visitor_can_have_a_server_set_makes_no_difference() {
        let one = identity("/a.py", &[("LANG", "C")]);
        for name in ["MATCH_SITE", "AUTHORIZE_CN", "nokeepalive", "downgrade_1_0", "no_gzip"] {
            assert_eq!(one, identity("/a.py", &[("LANG", "C"), (name, "x")]), "{name}");
        }
        let handled = |rest| {
            let service = Service { mount: Mount::Handler { rest }, ..service("/a.wsgi") };
            let program = Path::new("/bin/true");
            Identity::new(&service, &Limits::default(), program, program, &Variables::default())
        };
        assert_eq!(handled(0), handled(17));
    }

    #[test]
    fn what_the_operator_says_is_a_requests_makes_no_difference() {
        let ignored = |names: &[&str], variables: &[(&str, &str)]| {
            let limits = Limits {
                ignored: names.iter().map(|&name| name.into()).collect(),
                ..Limits::default()
            };
            let program = Path::new("/bin/true");
            let variables = variables.iter().copied().collect();
            Identity::new(&service("/a.py"), &limits, program, program, &variables)
        };
        let names = ["KIND", "Visitor_*"];
        let one = ignored(&names, &[("LANG", "C")]);
        assert_eq!(one, ignored(&names, &[("LANG", "C"), ("KIND", "1"), ("Visitor_a", "2")]));
        assert_ne!(one, ignored(&names, &[("LANG", "C"), ("KINDS", "1")]));
        let fewer = ignored(&names[..1], &[("LANG", "C")]);
        assert_ne!(fewer, ignored(&names[..1], &[("LANG", "C"), ("Visitor_a", "1")]));
    }

    #[test]
    fn whatever_an_import_may_look_at_makes_another_one() {
        let one = identity("/a.py", &[("LANG", "C")]);
        for other in [
            identity("/a.py", &[("LANG", "de")]),
            identity("/a.py", &[("LANG", "C"), ("SETTINGS", "x")]),
            identity("/b.py", &[("LANG", "C")]),
        ] {
            assert_ne!(one, other);
            assert_ne!(one.name(), other.name());
        }
    }

    #[test]
    fn names_that_differ_in_variables_begin_alike() {
        let [one, other, foreign] = [
            identity("/a.py", &[("LANG", "C")]),
            identity("/a.py", &[("LANG", "de")]),
            identity("/b.py", &[("LANG", "C")]),
        ]
        .map(|identity| identity.name());
        assert_eq!(one[..SHARED_LETTERS], other[..SHARED_LETTERS]);
        assert_ne!(one[..SHARED_LETTERS], foreign[..SHARED_LETTERS]);
    }
}
