//! A zygote's status file: any text is read without harm, and no value in it can add a line.

#![no_main]

use cgi2wsgi::zygotes::status::Status;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some(status) = std::str::from_utf8(input).ok().and_then(Status::decode) {
        let again = Status::decode(&status.encode()).expect("what was written is read");
        assert_eq!((again.pid, again.started), (status.pid, status.started));
        assert_eq!(Status::decode(&again.encode()), Some(again));
    }
});
