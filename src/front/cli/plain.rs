//! Options that are written plainly, read without clap, whose parser takes longer to make than a front takes for the
//! rest of a request. Everything else, each mistake among it, is left to clap; a test compares both.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::{Options, UnderAServer};

/// Where the value of an option goes.
enum Field<'o> {
    Switch(&'o mut bool),
    One(&'o mut Option<OsString>),
    Many(&'o mut Vec<OsString>),
}

/// What the words under a server mean, if each option is a known one, written as `--name`, `--name value` or
/// `--name=value`, and none is there twice without being repeatable. `None`: clap has to read them.
pub fn read(words: &[OsString]) -> Option<UnderAServer> {
    let mut read = UnderAServer::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if !word.as_bytes().starts_with(b"-") {
            read.words.push(word.clone());
            read.words.extend(rest.cloned());
            break;
        }
        let (name, joined) = split(word.as_bytes().strip_prefix(b"--")?);
        match field(&mut read.options, std::str::from_utf8(name).ok()?)? {
            Field::Switch(is_on) => {
                if *is_on || joined.is_some() {
                    return None;
                }
                *is_on = true;
            }
            Field::One(place) => {
                if place.is_some() {
                    return None;
                }
                *place = Some(value(joined, &mut rest)?);
            }
            Field::Many(values) => values.push(value(joined, &mut rest)?),
        }
    }
    // They exclude each other.
    let is_wrong = read.options.python.is_some() && read.options.venv.is_some();
    (!is_wrong).then_some(read)
}

/// The name of an option, and what is after its `=`.
fn split(option: &[u8]) -> (&[u8], Option<&OsStr>) {
    match option.iter().position(|byte| *byte == b'=') {
        Some(at) => (&option[..at], Some(OsStr::from_bytes(&option[at + 1..]))),
        None => (option, None),
    }
}

/// The value of an option: what is after its `=`, or the next word if that is no option.
fn value<'w>(
    joined: Option<&OsStr>,
    rest: &mut impl Iterator<Item = &'w OsString>,
) -> Option<OsString> {
    let value = joined.or_else(|| rest.next().map(OsString::as_os_str))?;
    let is_plain = !value.is_empty() && (joined.is_some() || !value.as_bytes().starts_with(b"-"));
    is_plain.then(|| value.to_owned())
}

/// The field of an option. `--handler` is clap's, because it may have no value.
fn field<'o>(options: &'o mut Options, name: &str) -> Option<Field<'o>> {
    Some(match name {
        "chdir" => Field::One(&mut options.chdir),
        "pythonpath" => Field::Many(&mut options.pythonpath),
        "python" => Field::One(&mut options.python),
        "venv" => Field::One(&mut options.venv),
        "mount" => Field::One(&mut options.mount),
        "nph" => Field::Switch(&mut options.nph),
        "timeout" => Field::One(&mut options.timeout),
        "max-body" => Field::One(&mut options.max_body),
        "debug" => Field::Switch(&mut options.debug),
        "timings" => Field::Switch(&mut options.timings),
        "log" => Field::One(&mut options.log),
        "log-format" => Field::One(&mut options.log_format),
        "log-size" => Field::One(&mut options.log_size),
        "record" => Field::One(&mut options.record),
        "record-all" => Field::Switch(&mut options.record_all),
        "record-max" => Field::One(&mut options.record_max),
        "record-secrets" => Field::Switch(&mut options.record_secrets),
        "warm" => Field::Switch(&mut options.warm),
        "warm-idle" => Field::One(&mut options.warm_idle),
        "warm-spare" => Field::One(&mut options.warm_spare),
        "warm-max" => Field::One(&mut options.warm_max),
        "warm-request" => Field::One(&mut options.warm_request),
        "warm-ignore" => Field::Many(&mut options.warm_ignore),
        "warm-memory" => Field::One(&mut options.warm_memory),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use clap::{ArgAction, CommandFactory, Parser};

    use super::*;

    fn with_clap(words: &[OsString]) -> Option<UnderAServer> {
        UnderAServer::try_parse_from([OsString::from("cgi2wsgi")].iter().chain(words)).ok()
    }

    /// Whether the words are read without clap. If they are, clap reads the same.
    fn is_read(words: &[OsString]) -> bool {
        let Some(plain) = read(words) else { return false };
        let clap = with_clap(words);
        let clap = clap.unwrap_or_else(|| panic!("clap refuses {words:?}"));
        assert_eq!((plain.options, plain.words), (clap.options, clap.words), "{words:?}");
        true
    }

    fn os(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn each_option_is_read_as_clap_reads_it() {
        for option in UnderAServer::command().get_arguments() {
            let Some(name) = option.get_long() else { continue };
            let word = format!("--{name}");
            let joined = format!("--{name}=value");
            let (plain, twice): (&[&str], &[&str]) = match option.get_action() {
                ArgAction::SetTrue => (&[&word, "app"], &[&word, &word, "app"]),
                _ => (&[&word, "value", "app"], &[&word, "value", &joined, "app"]),
            };
            let is_switch = matches!(option.get_action(), ArgAction::SetTrue);
            let is_repeatable = matches!(option.get_action(), ArgAction::Append);
            assert_eq!(is_read(&os(plain)), name != "handler", "{plain:?}");
            assert_eq!(is_read(&os(&[&joined])), name != "handler" && !is_switch, "{joined}");
            assert_eq!(is_read(&os(twice)), is_repeatable, "{twice:?}");
        }
    }

    #[test]
    fn random_words_are_read_as_clap_reads_them_or_left_to_clap() {
        let command = UnderAServer::command();
        let mut pieces: Vec<Vec<u8>> = [
            "app.py",
            "site:app",
            "-",
            "--",
            "---",
            "",
            "=",
            "-x",
            "-5",
            "--5",
            "--help",
            "-h",
            "x=y",
            "--warm-",
            "--Warm",
            "--no-warm",
            "--version",
            "value",
        ]
        .map(|word| word.as_bytes().to_vec())
        .to_vec();
        pieces.push(b"caf\xe9".to_vec());
        for name in command.get_arguments().filter_map(clap::Arg::get_long) {
            let word = format!("--{name}");
            for after in
                [&b""[..], b"", b"", b"=", b"=v", b"==", b"=--debug", b"=\xff", b" v", b"\r"]
            {
                pieces.push([word.as_bytes(), after].concat());
            }
        }
        let seed = RandomState::new().hash_one(0);
        let mut state = seed;
        // splitmix64
        let mut chance = |most: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((mixed ^ (mixed >> 31)) % most as u64).expect("it is small")
        };
        let mut count = 0;
        for _ in 0..3000 {
            let words: Vec<OsString> = (0..chance(6))
                .map(|_| OsStr::from_bytes(&pieces[chance(pieces.len())]).to_owned())
                .collect();
            count += usize::from(is_read(&words));
        }
        assert!(count > 100, "{count} of seed {seed} were read without clap");
    }

    #[test]
    fn what_is_not_plain_is_left_to_clap() {
        for words in [
            &["--handler", "app"][..],
            &["--python", "p", "--venv", "v", "app"],
            &["--chdir"],
            &["--chdir", "--debug", "app"],
            &["--chdir=", "app"],
            &["--debug=1", "app"],
            &["--unknown", "app"],
            &["-h"],
            &["--", "app"],
        ] {
            assert!(read(&os(words)).is_none(), "{words:?}");
        }
        assert!(is_read(&os(&["--debug", "--chdir=/d", "app", "--timeout", "5"])));
        assert!(is_read(&[]) && is_read(&os(&["", "--debug"])));
    }
}
