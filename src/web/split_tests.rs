//! However a conversation is cut into packets, the answers are the same.

use proptest::prelude::*;

use super::tests::{converse, hello, server};
use crate::clock::Clock;

/// Requests of every kind, good and bad. None with Expect: whether 100 is worth saying depends on
/// what has come already (RFC 9110, 10.1.1).
const REQUESTS: &[&str] = &[
    "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hello.txt HTTP/1.1\nHost: a\n\n",
    "GET http://b/hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n",
    "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=9-\r\n\r\n",
    "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n\r\n",
    "HEAD /hello.txt HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
    "GET /hello.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "POST /lab/form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy",
    "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hello.txt HTTP/1.0\r\n\r\n",
    "GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: a\n\r\n",
    "GET /\r\n",
    "\r\n\r\n",
    "\x16\x03\x01",
    "\x01GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /lab/form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "GET /hello.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
];

/// The answers without what depends on when they were given: the tag of a file is another one once
/// it has settled.
fn undated(answers: &str) -> Vec<&str> {
    answers.split("\r\n").filter(|line| !line.starts_with("Date: ") && !line.starts_with("ETag: ")).collect()
}

fn answers(pieces: &[&[u8]]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Clock::textbook();
        let (network, at, _stopper) = server(hello(&clock), clock).await;
        converse(&network, at, pieces).await
    })
}

#[test]
fn every_request_may_be_split_at_every_octet() {
    for request in REQUESTS {
        let whole = answers(&[request.as_bytes()]);
        assert!(whole.starts_with("HTTP/1.1 "), "{request:?}: {whole}");
        for at in 1..request.len() {
            let (first, second) = request.as_bytes().split_at(at);
            assert_eq!(undated(&answers(&[first, second])), undated(&whole), "{request:?} split at {at}");
        }
        let single: Vec<&[u8]> = request.as_bytes().chunks(1).collect();
        assert_eq!(undated(&answers(&single)), undated(&whole), "{request:?} octet by octet");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_conversation_may_be_cut_anywhere(
        requests in prop::collection::vec(prop::sample::select(REQUESTS), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let conversation = requests.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(conversation.len())).collect();
        cuts.sort_unstable();
        cuts.push(conversation.len());
        let mut from = 0;
        let mut pieces = Vec::new();
        for cut in cuts {
            pieces.push(&conversation.as_bytes()[from..cut]);
            from = cut;
        }
        let whole = answers(&[conversation.as_bytes()]);
        let cut = answers(&pieces);
        prop_assert_eq!(undated(&cut), undated(&whole));
    }
}
