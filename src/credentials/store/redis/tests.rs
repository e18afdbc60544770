//! What a real Redis does not do on demand; all else is `tests/interop/test_fleet.py`.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{config::RedisUrl, secret::Secret};

/// What is said to the first questions of a connection, in order; nothing to the rest.
pub(super) type Answers = &'static [&'static str];

/// Says this on each connection.
async fn server(answers: Answers) -> (Link, Arc<AtomicUsize>) {
    server_of(move |_| answers).await
}

/// Says what `answers` has for the number of the connection, from 1.
pub(super) async fn server_of(
    answers: impl Fn(usize) -> Answers + Send + 'static,
) -> (Link, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::spawn(answer(stream, answers(number)));
        }
    });
    let server = RedisServer {
        url: RedisUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap(),
        username: None,
        password: Some(Secret::new("canary")),
        ca: None,
    };
    (Link::new(server).unwrap(), connections)
}

async fn answer(mut stream: TcpStream, answers: Answers) {
    let mut question = [0; 4096];
    for answer in answers {
        if stream.read(&mut question).await.unwrap_or(0) == 0 {
            return;
        }
        let _ = stream.write_all(answer.as_bytes()).await;
    }
    while stream.read(&mut question).await.is_ok_and(|read| read > 0) {}
}

pub(super) async fn ask(link: &Link) -> Result<String, String> {
    let asked = link.ask(&cmd("PING")).await;
    asked.map_err(|error| error.to_string())
}

/// Asks until it is answered so.
pub(super) async fn until(link: &Link, is_it: impl Fn(&Result<String, String>) -> bool) {
    let mut last = ask(link).await;
    for _ in 0..200 {
        if is_it(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = ask(link).await;
    }
    panic!("at last: {last:?}");
}

/// A connection that works, for one question.
pub(super) const GOOD: Answers = &["+OK\r\n", "+PONG\r\n", "+hello\r\n"];

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_once() {
    let (link, connections) = server(GOOD).await;
    assert_eq!(ask(&link).await.unwrap(), "hello");
    let began = clock::now();
    let error = ask(&link).await.unwrap_err();
    assert!(error.contains("no answer within 50ms"), "{error}");
    for _ in 0..1000 {
        assert_eq!(ask(&link).await.unwrap_err(), error);
    }
    assert!(began.elapsed() < Duration::from_millis(200));
    // It joins again by itself.
    until(&link, Result::is_ok).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_greeting_that_does_not_come_has_an_end() {
    let (link, connections) = server(&[]).await;
    let began = clock::now();
    let many = (0..50).map(|_| ask(&link));
    let all = futures(many).await;
    assert!(all.iter().all(|it| {
        it.as_ref()
            .is_err_and(|e| e.contains("no connection within"))
    }));
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "one waited for all"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_that_was_not_there_at_first_is_found_later() {
    let (link, connections) = server_of(|number| if number == 1 { &[] } else { GOOD }).await;
    assert!(ask(&link).await.is_err());
    until(&link, Result::is_ok).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn one_that_is_still_loading_is_not_there_yet() {
    const LOADING: Answers = &["+OK\r\n", "-LOADING it is\r\n", "+early\r\n"];
    let (link, _) = server_of(|number| if number == 1 { LOADING } else { GOOD }).await;
    let error = ask(&link).await.unwrap_err();
    assert!(error.contains("refuses with LOADING"), "{error}");
    until(&link, |said| said.as_deref() == Ok("hello")).await;
}

#[tokio::test]
async fn what_ails_it_by_now_is_told() {
    let (link, _) = server_of(|number| match number {
        1 => &["-WRONGPASS it is\r\n"],
        _ => &["+OK\r\n", "-LOADING it is\r\n"],
    })
    .await;
    let error = ask(&link).await.unwrap_err();
    assert!(error.contains("authentication"), "{error}");
    until(&link, |said| {
        said.as_ref().is_err_and(|error| error.contains("LOADING"))
    })
    .await;
}

#[tokio::test]
async fn one_that_is_gone_is_looked_for_with_growing_pauses() {
    let (link, connections) = server(&["-NO it is not\r\n"]).await;
    assert!(ask(&link).await.is_err());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // After 0.1, 0.2, 0.4 and 0.8 s, or half of that.
    let tried = connections.load(Ordering::SeqCst);
    assert!((3..=6).contains(&tried), "{tried} times");
}

/// All of them at once, in order.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (one, done) in all.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = one.as_mut().poll(cx) {
                *done = Some(value);
            }
        }
        match all.iter().all(|(_, done)| done.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn what_a_server_says_of_itself_is_not_repeated() {
    for (answer, expected) in [
        (
            "-WRONGPASS canary is no password\r\n",
            "refuses with WRONGPASS",
        ),
        ("-canary canary\r\n", "it refuses"),
        ("-MOVED 1 canary:6379\r\n", "it is a cluster"),
        ("HTTP/1.1 400 canary\r\n\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let (link, _) = server(Box::leak(Box::new(["+OK\r\n", "+PONG\r\n", answer]))).await;
        let error = ask(&link).await.unwrap_err();
        assert!(error.contains(expected), "{answer}: {error}");
        assert!(!error.contains("canary"), "{error}");
        assert!(!format!("{link:?}").contains("canary"));
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error() {
    let greeting = ["+OK\r\n", "+PONG\r\n"];
    for answer in [":1\r\n", "*0\r\n", "$-1\r\n"] {
        let answers = Box::leak(Box::new([greeting[0], greeting[1], answer]));
        let (link, _) = server(answers).await;
        let asked: Result<(u64, Vec<u8>), _> = link.ask(&cmd("EVAL")).await;
        assert!(asked.is_err(), "{answer}");
    }
}
