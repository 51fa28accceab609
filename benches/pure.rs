//! What the pure parts cost: `cargo bench`. Under `cargo test` each runs once.

use divan::{Bencher, black_box, counter::BytesCount};
use portico::testing::bench;

fn main() {
    divan::main();
}

const SHORT: &[u8] = b"GET /1k.bin HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const BROWSER: &[u8] = b"GET /images/logo.png?v=3 HTTP/1.1\r\nHost: www.someschool.edu\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\nReferer: http://www.someschool.edu/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,fr;q=0.8\r\nCookie: visitor=0123456789abcdef\r\n\
    If-None-Match: \"a\", W/\"b\", \"c\"\r\n\r\n";

#[divan::bench(args = ["short", "browser"])]
fn request_head(bencher: Bencher, kind: &str) {
    let head = if kind == "short" { SHORT } else { BROWSER };
    bencher.counter(BytesCount::of_slice(head)).bench(|| bench::head(black_box(head)));
}

#[divan::bench]
fn framing(bencher: Bencher) {
    let head = bench::head(BROWSER);
    bencher.bench(|| black_box(&head).is_framed());
}

#[divan::bench]
fn conditional(bencher: Bencher) {
    let head = bench::head(BROWSER);
    bencher.bench(|| black_box(&head).is_unchanged("c"));
}

#[divan::bench(args = ["bytes=0-499", "bytes=0-0, 500-999, -500"])]
fn range(field: &str) -> bool {
    bench::is_range(field.as_bytes(), 1_000_000)
}

#[divan::bench(args = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])]
fn date(text: &str) -> Option<String> {
    bench::date(text.as_bytes())
}

#[divan::bench(args = [16, 4096])]
fn chunked_body(bencher: Bencher, octets: usize) {
    let chunk = [format!("{octets:x}\r\n").into_bytes(), vec![b'x'; octets], b"\r\n".to_vec()].concat();
    let body = [chunk.repeat(64 * 1024 / octets), b"0\r\n\r\n".to_vec()].concat();
    bencher.counter(BytesCount::of_slice(&body)).bench(|| bench::chunks(black_box(&body)));
}

#[divan::bench(args = ["max-age=3600", "public, s-maxage=60, stale-while-revalidate=30, private=\"set-cookie, x\", immutable"])]
fn cache_control(value: &str) -> bool {
    bench::cache_control(value.as_bytes())
}

/// A message of 64 KiB in lines of 72 octets, one in ten of them with a dot.
fn message() -> Vec<u8> {
    let line = |dot: &str| format!("{dot}{}\r\n", "x".repeat(70)).into_bytes();
    [line("."), line("x").repeat(9)].concat().repeat(91)
}

#[divan::bench]
fn dot_unstuffing(bencher: Bencher) {
    let wire = [message(), b".\r\n".to_vec()].concat();
    bencher.counter(BytesCount::of_slice(&wire)).bench(|| bench::unstuff(black_box(&wire)));
}

#[divan::bench]
fn dot_stuffing(bencher: Bencher) {
    let text = message();
    bencher.counter(BytesCount::of_slice(&text)).bench(|| bench::stuff(black_box(&text)));
}

/// The head of a message as mail programs send it, and 4 KiB of body.
fn mail() -> Vec<u8> {
    let head = "From: Alice <alice@crepes.test>\r\nTo: Bob <bob@hamburger.test>,\r\n carol@portico.test\r\n\
        Subject: Do you like ketchup?\r\nDate: Sun, 06 Nov 1994 08:49:37 +0000\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nUser-Agent: Mutt/2.2.9\r\nBcc: dave@portico.test\r\n\r\n";
    [head.as_bytes(), &message()[..4096]].concat()
}

#[divan::bench]
fn mail_head(bencher: Bencher) {
    let text = mail();
    bencher.counter(BytesCount::of_slice(&text)).bench(|| bench::repair(black_box(&text)));
}

#[divan::bench]
fn maildir_lines(bencher: Bencher) {
    let text = message();
    bencher.counter(BytesCount::of_slice(&text)).bench(|| bench::to_disk(black_box(&text)));
}

#[divan::bench(args = ["<bob@portico.test>", "<@a.test,@b.test:\"odd \\\"name\"@[IPv6:2001:db8::1]>"])]
fn address(text: &str) -> bool {
    bench::is_path(text)
}
