//! One direction of a tunnel, byte by byte.

use tokio::io::duplex;

use super::*;
use crate::upstream::Timeouts;

fn terms(closes: bool) -> Terms {
    Terms {
        timeouts: Timeouts::default(),
        websocket: true,
        grpc: false,
        fresh: false,
        until: closes.then(crate::clock::now),
    }
}

#[tokio::test]
async fn bytes_that_came_early_go_first_and_the_end_is_passed_on() {
    let (mut client, mut inner) = duplex(64);
    let (mut outer, mut upstream) = duplex(64);
    let mut way = Direction::new(BytesMut::from(&b"early "[..]), &terms(false));
    client.write_all(b"late").await.expect("there is room");
    client.shutdown().await.expect("a pipe shuts");
    poll_fn(|cx| way.poll(cx, &mut inner, &mut outer))
        .await
        .expect("nothing fails");
    let mut received = String::new();
    upstream
        .read_to_string(&mut received)
        .await
        .expect("it ends");
    assert_eq!((received.as_str(), way.passed), ("early late", 10));
}

#[tokio::test]
async fn a_direction_in_which_nothing_moves_holds_no_buffer() {
    let (mut client, mut inner) = duplex(64);
    let (mut outer, mut upstream) = duplex(64);
    let mut way = Direction::new(BytesMut::new(), &terms(false));
    client.write_all(b"abc").await.expect("there is room");
    let polled = poll_fn(|cx| Poll::Ready(way.poll(cx, &mut inner, &mut outer))).await;
    assert!(polled.is_pending());
    assert_eq!(way.held.capacity(), 0);
    let mut received = [0; 3];
    upstream.read_exact(&mut received).await.expect("it came");
    assert_eq!(&received, b"abc");
}

#[tokio::test]
async fn a_reader_that_stalls_is_not_read_ahead_for() {
    let (mut client, mut inner) = duplex(1 << 20);
    let (mut outer, _upstream) = duplex(8);
    let mut way = Direction::new(BytesMut::new(), &terms(true));
    client
        .write_all(&[0; 1 << 19])
        .await
        .expect("there is room");
    let polled = poll_fn(|cx| Poll::Ready(way.poll(cx, &mut inner, &mut outer))).await;
    assert!(polled.is_pending());
    assert_eq!(way.passed, 8);
    assert!(way.held.len() <= BUFFER, "{}", way.held.len());
}
