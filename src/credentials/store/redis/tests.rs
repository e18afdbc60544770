//! What a real Redis does not do on demand; all else is `tests/interop/test_fleet.py`.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{config::RedisUrl, secret::Secret};

/// Says this to the first questions of each connection, in order, and nothing to the rest.
async fn server(answers: &'static [&'static str]) -> (Link, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(stream, answers));
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

async fn answer(mut stream: TcpStream, answers: &[&str]) {
    let mut question = [0; 4096];
    for answer in answers {
        if stream.read(&mut question).await.unwrap_or(0) == 0 {
            return;
        }
        let _ = stream.write_all(answer.as_bytes()).await;
    }
    while stream.read(&mut question).await.is_ok_and(|read| read > 0) {}
}

async fn ask(link: &Link) -> Result<String, String> {
    let asked = link.ask(&cmd("PING")).await;
    asked.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_once() {
    let (link, connections) = server(&["+OK\r\n", "+PONG\r\n", "+hello\r\n"]).await;
    assert_eq!(ask(&link).await.unwrap(), "hello");
    let began = clock::now();
    let error = ask(&link).await.unwrap_err();
    assert!(error.contains("no answer within 50ms"), "{error}");
    for _ in 0..1000 {
        assert_eq!(ask(&link).await.unwrap_err(), error);
    }
    assert!(began.elapsed() < Duration::from_millis(200));
    // It joins again by itself.
    for _ in 0..100 {
        if ask(&link).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
