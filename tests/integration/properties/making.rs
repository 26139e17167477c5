//! How a random request is made: the application, the server's variables, the body, and the operator's settings.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::head::headers_query;
use super::{App, Chance, Sample, Stdin, Stdout};
use crate::harness::http::percent_decode;
use crate::harness::stage::{DOWNLOAD_SIZE, Stage};

const APPS: &[App] = &[
    App::Echo,
    App::Echo,
    App::Hello,
    App::Headers,
    App::Headers,
    App::ReadBody,
    App::IgnoreUpload,
    App::Stream,
    App::Environ,
    App::Closes,
    App::Writes,
    App::Uploads,
    // Stands for all failures.
    App::Missing,
];

const FAILURES: &[&str] = &[
    "bad_header",
    "missing_import",
    "no_start_response",
    "raises_before",
    "raises_midway",
    "raises_on_import",
    "returns_none",
    "segfault",
    "str_chunk",
    "syntax_error",
    "sys_exit",
];

impl App {
    fn any(chance: &mut Chance) -> Self {
        match chance.choose(APPS) {
            Self::Missing if chance.percent(10) => Self::Missing,
            Self::Missing => Self::Fails(chance.choose(FAILURES)),
            // These two are slow, so they are rarer.
            Self::Hello if chance.percent(30) => chance.choose(&[Self::Download, Self::Prints]),
            other => other,
        }
    }

    fn file(self) -> String {
        let name = match self {
            Self::Echo => "",
            Self::Hello => "hello",
            Self::Headers => "headers",
            Self::ReadBody => "read_body",
            Self::IgnoreUpload => "ignore_upload",
            Self::Stream => "stream",
            Self::Environ => "show_environ",
            Self::Download => "download",
            Self::Prints => "print_everywhere",
            Self::Closes => "close_marker",
            Self::Writes => "write",
            Self::Uploads => "upload",
            Self::Fails(name) => return format!("{{fixtures}}/failures/{name}.py"),
            Self::Missing => "there-is-none",
        };
        format!("{{fixtures}}/{name}.py")
    }

    /// A query that the application understands, and the length of the body that it answers with, if known.
    fn query(self, chance: &mut Chance) -> (Vec<u8>, Option<usize>) {
        match self {
            Self::Echo => {
                let ways: Vec<u8> =
                    (0..chance.below(12)).map(|_| chance.choose(b"rolLsnz")).collect();
                let stream: &[u8] = if chance.percent(50) { b"&stream=1" } else { b"" };
                ([b"ways=", ways.as_slice(), stream].concat(), None)
            }
            Self::Hello => (vec![], Some("Hello, world!\n".len())),
            Self::Headers => (headers_query(chance), None),
            Self::ReadBody => {
                let how = chance.choose(&["read", "readn", "readline", "readlines", "iter", "all"]);
                let size = match how {
                    "read" | "iter" | "all" => String::new(),
                    _ if chance.percent(50) => String::new(),
                    _ => format!("&n={}", 1 + chance.below(5000)),
                };
                (format!("how={how}{size}").into_bytes(), None)
            }
            Self::IgnoreUpload => {
                let size = chance.below(400_000);
                (format!("size={size}").into_bytes(), Some(size))
            }
            Self::Stream => {
                let count = chance.below(300);
                let length = (1..=count).map(|number| format!("chunk {number}\n").len()).sum();
                (format!("n={count}").into_bytes(), Some(length))
            }
            Self::Download => {
                let seek = chance.below(DOWNLOAD_SIZE + 10);
                let rest = DOWNLOAD_SIZE.saturating_sub(seek);
                (format!("seek={seek}").into_bytes(), Some(rest))
            }
            Self::Prints => (vec![], Some("clean\n".len())),
            Self::Closes => (
                chance.choose(&["", "big=9", "fail=first", "fail=mid", "big=40&fail=mid"]).into(),
                None,
            ),
            Self::Writes => (vec![], Some("written\nreturned\n".len())),
            Self::Environ | Self::Uploads | Self::Fails(_) | Self::Missing => (vec![], None),
        }
    }

    /// Whether the application may begin a response that it does not complete.
    pub(super) fn ends_midway(self) -> bool {
        matches!(self, Self::Fails("raises_midway") | Self::Closes | Self::Echo)
    }
}

impl Sample {
    pub(super) fn new(chance: &mut Chance, stage: &Stage, echo: &OsStr) -> Self {
        let app = App::any(chance);
        let file = match app {
            App::Echo => echo.to_owned(),
            _ => stage.resolve(&app.file()).into(),
        };
        let (query, length) = app.query(chance);
        let mut sample = Self {
            app,
            arguments: Vec::new(),
            variables: Vec::new(),
            body: Vec::new(),
            stdin: Stdin::Pipe,
            stdout: Stdout::Read,
            declared: Some(0),
            length,
            debug: false,
            nph: false,
            sound: app != App::Missing,
        };
        sample.describe_request(chance, &query);
        sample.fill_body(chance);
        sample.configure(chance, stage, file);
        if chance.percent(8) {
            sample.stdout = Stdout::Left(chance.choose(&[0, 1, 20, 200, 70_000]));
        } else if sample.declared.is_some_and(|declared| declared >= sample.body.len())
            && sample.stdin != Stdin::Missing
            && chance.percent(40)
        {
            sample.stdout = Stdout::ReadLast;
        }
        sample
    }

    fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.variables.retain(|(set, _)| set != name);
        self.variables.push((name.into(), OsString::from_vec(value.into())));
    }

    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let variable = self.variables.iter().find(|(set, _)| set == name);
        variable.map(|(_, value)| value.as_bytes())
    }

    /// Sets a server's variables, some of them wrong.
    fn describe_request(&mut self, chance: &mut Chance, query: &[u8]) {
        const USUAL: &[(&str, &[&str])] = &[
            ("SCRIPT_NAME", &["", "/", "/app", "/app/", "/cgi-bin/x.cgi", "/fb/index.cgi"]),
            ("PATH_INFO", &["", "/", "/a b", "/a//b", "/%2e", "/a/h.wsgi/p", "lication/x"]),
            ("REQUEST_URI", &["/", "/app/x?y", "/fb/foo", "*", "http://h/x", "/fb/%2e%2e/etc"]),
            ("SERVER_NAME", &["localhost", "", "h.test:81", "[::1]:80"]),
            ("SERVER_PORT", &["80", "", "443", "http"]),
            (
                "SERVER_SOFTWARE",
                &["Apache/2.4.71 (Debian)", "go", "lighttpd/1.4.69", "nginx/1.22.1"],
            ),
            ("HTTP_HOST", &["localhost", "", "h.test:81", "[::1"]),
            ("HTTPS", &["on", "off", ""]),
            ("HTTP_PROXY", &["http://evil.test/"]),
            ("HTTP_X.DOT", &["1"]),
            ("HTTP_COOKIE", &["a=1; b=2"]),
            ("REDIRECT_STATUS", &["200", "404"]),
            ("REDIRECT_URL", &["/app/a b", "/hta/foo"]),
            ("REDIRECT_HANDLER", &["wsgi"]),
            ("PATH_TRANSLATED", &["/etc/passwd", "/srv/h.wsgi/x"]),
            ("SCRIPT_FILENAME", &["/srv/x.cgi", "/srv/nph-x.cgi"]),
            ("CONTENT_TYPE", &["", "text/plain", "multipart/form-data; boundary=x"]),
        ];
        for (name, values) in USUAL {
            match chance.below(20) {
                0..=9 => self.set(name, chance.choose(values)),
                10 => self.set(name, chance.bytes(40)),
                11 if chance.percent(20) => self.set(name, vec![b'x'; chance.below(100_000)]),
                _ => {}
            }
        }
        for (name, usual, rare) in [
            ("GATEWAY_INTERFACE", "CGI/1.1", ""),
            ("SERVER_PROTOCOL", "HTTP/1.1", "INCLUDED"),
            ("REMOTE_ADDR", "192.0.2.1", "?"),
        ] {
            if chance.percent(96) {
                self.set(name, if chance.percent(90) { usual } else { rare });
            }
        }
        let method = match chance.below(40) {
            0..=11 => "GET",
            12..=33 => "POST",
            34 | 35 => "HEAD",
            36 => "PUT",
            37 => "",
            38 => "G T",
            _ => "PROPFIND",
        };
        self.set("REQUEST_METHOD", method);
        match chance.below(20) {
            0 => self.set("QUERY_STRING", chance.bytes(60)),
            1 => self.set(
                "QUERY_STRING",
                chance.choose(&["--debug", "-d+x%3d1", "--handler+--chdir+/", "+++"]),
            ),
            _ => self.set("QUERY_STRING", query),
        }
        if self.get("QUERY_STRING") != Some(query) {
            self.length = None;
        }
    }

    /// Makes a body, and the variables that declare its length.
    fn fill_body(&mut self, chance: &mut Chance) {
        let size = match chance.below(12) {
            0..=3 => 0,
            4..=7 => chance.below(200),
            8..=10 => chance.below(70_000),
            _ => chance.below(400_000),
        };
        self.body = (0..size)
            .map(|_| chance.choose(b"abcdefghijklmnopqrstuvwxyz0123456789\n\r\0\xff"))
            .collect();
        let (said, declared) = match chance.below(20) {
            0 => (None, Some(0)),
            1 | 2 => {
                self.set("HTTP_TRANSFER_ENCODING", "chunked");
                (None, Some(size))
            }
            3 | 4 => {
                let more = size + 1 + chance.below(100_000);
                (Some(more.to_string()), Some(more))
            }
            5 => {
                let less = chance.below(size + 1);
                (Some(less.to_string()), Some(less))
            }
            6 => {
                let said = chance.choose(&["-1", "+5", "1_0", "5 ", "abc", "99999999999999999999"]);
                (Some(said.to_owned()), None)
            }
            7 if size == 0 => (Some(String::new()), Some(0)),
            _ => (Some(size.to_string()), Some(size)),
        };
        if let Some(said) = said {
            self.set("CONTENT_LENGTH", said);
        }
        self.declared = declared;
        let ends = !self.is_from_apache()
            && self.get("CONTENT_LENGTH").is_some_and(|said| !said.is_empty())
            && declared.is_some_and(|declared| declared <= size);
        self.stdin = match chance.below(10) {
            0 => Stdin::Missing,
            1..=4 if ends => Stdin::PipeHeldOpen,
            _ => Stdin::Pipe,
        };
        if self.stdin == Stdin::Missing {
            self.body.clear();
        }
    }

    /// Sets the operator's words and variables. After the words come those that Apache appends.
    fn configure(&mut self, chance: &mut Chance, stage: &Stage, file: OsString) {
        const VARIABLES: &[(&str, &[&str])] = &[
            ("CGI2WSGI_MOUNT", &["auto", "/", "/app", "app"]),
            ("CGI2WSGI_TIMEOUT", &["30", "0", "soon"]),
            ("CGI2WSGI_MAX_BODY", &["100", "1K", "20M", "much"]),
            ("CGI2WSGI_DEBUG", &["1", "0", "maybe"]),
            ("CGI2WSGI_NPH", &["1", "off"]),
            ("CGI2WSGI_HANDLER", &["1", ".wsgi,.py", "wsgi"]),
            ("CGI2WSGI_CHDIR", &["/", "/nonexistent"]),
            ("CGI2WSGI_VENV", &["/nonexistent"]),
            ("CGI2WSGI_PYTHONPATH", &["/", "/nonexistent"]),
            ("CGI2WSGI_TIMOUT", &["1"]),
        ];
        const OF_PYTHON: &[(&str, &str)] = &[
            ("PYTHONHASHSEED", "nonsense"),
            ("PYTHONHOME", "/nonexistent"),
            ("PYTHONINSPECT", "1"),
            ("PYTHONIOENCODING", "nonsense"),
            ("PYTHONMALLOC", "nonsense"),
            ("PYTHONOPTIMIZE", "2"),
            ("PYTHONPATH", "/nonexistent\u{e9}:/"),
            ("PYTHONSTARTUP", "/nonexistent"),
            ("PYTHONTRACEMALLOC", "nonsense"),
            ("PYTHONUNBUFFERED", "1"),
            ("PYTHONUTF8", "0"),
            ("PYTHONUTF8", "nonsense"),
            ("PYTHONWARNINGS", "error"),
            ("LC_ALL", "nonsense"),
        ];
        if chance.percent(20) {
            self.sound = false;
            for _ in 0..=chance.below(2) {
                let (name, values) = chance.choose(VARIABLES);
                self.set(name, chance.choose(values));
            }
        }
        if chance.percent(6) {
            self.sound = false;
            let (name, value) = chance.choose(OF_PYTHON);
            self.set(name, value);
        }
        if self.app == App::Download {
            self.set("DOWNLOAD", stage.path("work/download.bin").into_os_string().into_vec());
        }
        let words: &[&str] = match chance.below(20) {
            0 => &["--mount", "auto"],
            1 => &["--mount=/app", "--timeout", "60"],
            2 => &["--max-body", "1M"],
            3 => &["--debug"],
            4 | 5 => &["--nph"],
            6..=8 => {
                self.sound = false;
                chance.choose(&[
                    ["--nph", "--venv=/nonexistent"].as_slice(),
                    &["--timeout", "soon"],
                    &["--vnev", "x"],
                ])
            }
            _ => &[],
        };
        self.arguments = words.iter().map(Into::into).collect();
        match chance.below(20) {
            0 => self.set("CGI2WSGI_APP", file.into_vec()),
            1 => {
                self.sound = false;
                self.arguments.extend([file, "surplus".into()]);
            }
            2 => {
                let mut named = file;
                named.push(":application");
                self.arguments.push(named);
            }
            _ => self.arguments.push(file),
        }
        self.debug = self.arguments.iter().any(|word| word == "--debug")
            || self.get("CGI2WSGI_DEBUG") == Some(b"1");
        let script = self.get("SCRIPT_FILENAME").unwrap_or_default();
        self.nph = self.arguments.iter().any(|word| word == "--nph")
            || self.get("CGI2WSGI_NPH") == Some(b"1")
            || script.rsplit(|byte| *byte == b'/').next().is_some_and(|n| n.starts_with(b"nph-"));
        self.append_query_words();
    }

    /// As Apache does (P1): decoded, and with a backslash before each character that is special to a shell.
    fn append_query_words(&mut self) {
        let query = self.get("QUERY_STRING").unwrap_or_default();
        if !self.is_from_apache()
            || query.is_empty()
            || query.contains(&b'=')
            || !self.is_from_a_server()
        {
            return;
        }
        let words: Vec<OsString> = query
            .split(|byte| *byte == b'+')
            .map(|word| {
                let word = percent_decode(word);
                let end = word.iter().position(|byte| *byte == 0).unwrap_or(word.len());
                let escaped = word[..end].iter().flat_map(|byte| match byte {
                    b'&' | b';' | b'`' | b'\'' | b'"' | b'|' | b'*' | b'?' | b'~' | b'<' | b'>'
                    | b'^' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'$' | b'\\' | b'\n' => {
                        vec![b'\\', *byte]
                    }
                    _ => vec![*byte],
                });
                OsString::from_vec(escaped.collect())
            })
            .collect();
        self.arguments.extend(words);
    }

    pub(super) fn is_from_a_server(&self) -> bool {
        let there = |name| self.get(name).is_some();
        there("GATEWAY_INTERFACE") || (there("REQUEST_METHOD") && there("SERVER_PROTOCOL"))
    }

    /// The request body, if all of it arrives.
    pub(super) fn whole_body(&self) -> Option<&[u8]> {
        if self.get("CONTENT_LENGTH").is_none() && self.get("HTTP_TRANSFER_ENCODING").is_some() {
            return Some(&self.body);
        }
        let declared = self.body.get(..self.declared?)?;
        // B9: a filter may have made the body longer.
        Some(if self.is_from_apache() && !declared.is_empty() { &self.body } else { declared })
    }

    /// Whether the server is Apache, which closes standard input after the body.
    fn is_from_apache(&self) -> bool {
        self.get("SERVER_SOFTWARE").is_some_and(|server| server.starts_with(b"Apache"))
    }
}
