//! The pool by itself: what it keeps, and whom it serves.

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::upstream::{Scheme, UpstreamConfig, Upstreams};

const LIMIT: Duration = Duration::from_secs(10);

/// An upstream whose connections the test holds.
struct There(TcpListener);

impl There {
    async fn accept(&self) -> TcpStream {
        self.0.accept().await.unwrap().0
    }
}

/// A pool of one connection, and where that leads.
async fn pool() -> (Arc<Pool>, There) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = UpstreamConfig {
        pool: PoolConfig {
            max_connections: 1,
            max_waiting: 1_000_000,
            ..PoolConfig::default()
        },
        ..UpstreamConfig::new(Scheme::Http, "127.0.0.1", port)
    };
    let upstream = Upstreams::default().intern(config).unwrap();
    let pool = Arc::new(Pool::new(upstream, Watchdog::new()));
    (pool, There(listener))
}

async fn check_out(pool: &Arc<Pool>) -> Connection {
    pool.check_out(LIMIT, false).await.unwrap()
}

/// A place among those who wait.
fn queue(pool: &Arc<Pool>) -> oneshot::Receiver<Turn> {
    pool.turn(false).unwrap().expect_err("there is no room")
}

async fn until_closed(connection: &Connection) {
    for _ in 0..1000 {
        if connection.sender.is_closed() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never ends");
}

/// Connections that rest, and all that there are.
fn counted(pool: &Pool) -> (usize, usize) {
    let state = pool.lock();
    (state.idle.len(), state.open)
}

#[tokio::test]
async fn a_connection_that_has_ended_is_not_taken_back() {
    let (pool, there) = pool().await;
    let connection = check_out(&pool).await;
    drop(there.accept().await);
    until_closed(&connection).await;
    pool.give_back(connection);
    assert_eq!(counted(&pool), (0, 0));
}

#[tokio::test]
async fn one_whose_time_is_over_is_not_handed_out_though_it_is_not_closed_yet() {
    let (pool, _there) = pool().await;
    let first = check_out(&pool).await;
    pool.give_back(first);
    assert_eq!(counted(&pool), (1, 1));
    // Its own task has seen to it that it can be used.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(pool.lock().idle[0].sender.is_ready());
    pool.lock().idle[0].watch.kill();
    assert!(!check_out(&pool).await.reused);
}

#[tokio::test]
async fn who_is_given_a_connection_that_has_died_makes_another_in_its_place() {
    let (pool, there) = pool().await;
    let first = check_out(&pool).await;
    let waiting = queue(&pool);
    pool.give_back(first);
    let Ok(Turn::Connection(given)) = waiting.await else {
        panic!("it was given back");
    };
    drop(there.accept().await);
    until_closed(&given).await;
    let given = Ok(Turn::Connection(given));
    let second = pool.wait_or_make(given, LIMIT).await.unwrap();
    assert!(!second.reused);
    assert_eq!(counted(&pool), (0, 1));
}

/// Each of them would be a frame more on the stack.
#[tokio::test]
async fn who_has_left_is_not_served_however_many_they_are() {
    let (pool, _there) = pool().await;
    let only = check_out(&pool).await;
    for _ in 0..200_000 {
        drop(queue(&pool));
    }
    let waiting = queue(&pool);
    drop(only);
    let second = pool.wait_or_make(Err(waiting), LIMIT).await.unwrap();
    pool.give_back(second);
    assert_eq!(counted(&pool), (1, 1));
}

#[tokio::test]
async fn who_leaves_with_a_turn_gives_it_to_the_next() {
    let (pool, _there) = pool().await;
    let only = check_out(&pool).await;
    let (leaves, waits) = (queue(&pool), queue(&pool));
    pool.give_back(only);
    drop(leaves);
    let second = pool.wait_or_make(Err(waits), LIMIT).await.unwrap();
    drop(second);
    assert_eq!(counted(&pool), (0, 0));
}
