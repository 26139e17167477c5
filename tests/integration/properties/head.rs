//! Queries that say which head the application answers with: right, odd, or an attack.

use super::Chance;

/// The query of `headers.py`.
pub(super) fn headers_query(chance: &mut Chance) -> Vec<u8> {
    let mut query = b"status=".to_vec();
    let status: &[u8] = chance.choose(&[
        b"200 OK".as_slice(),
        b"404 Not Found",
        b"204 No Content",
        b"304 Not Modified",
        b"302 Found",
        b"299",
        b"500 ",
        b"100 Continue",
        b"999 X",
        b"200 OK\r\nX-Injected: 1",
        b"200 OK\n",
        b"abc",
        b"",
    ]);
    encode(&mut query, status);
    for _ in 0..chance.below(5) {
        query.extend_from_slice(b"&h=");
        let field: Vec<u8> = match chance.below(14) {
            0..=2 => format!("Content-Length:{}", chance.below(40)).into_bytes(),
            3 => b"Location:/elsewhere".to_vec(),
            4 => b"X-A:b\r\nX-Injected: 1".to_vec(),
            5 => b"X-B\r\nX-Injected:1".to_vec(),
            6 => chance
                .choose(&["Status:200", "Connection:close", "Transfer-Encoding:chunked"])
                .into(),
            7 => [b"X-Bytes:", chance.bytes(30).as_slice()].concat(),
            8 => [b"X-Long:".as_slice(), &vec![b'x'; chance.below(9000)]].concat(),
            _ => [b"Set-Cookie:a=".as_slice(), chance.below(9).to_string().as_bytes()].concat(),
        };
        encode(&mut query, &field);
    }
    for _ in 0..chance.below(4) {
        query.extend_from_slice(b"&body=");
        encode(&mut query, &chance.bytes(30));
    }
    query.extend_from_slice(chance.choose(&["", "", "&catch=1", "&noct=1"]).as_bytes());
    query
}

fn encode(query: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => query.push(*byte),
            _ => query.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}
