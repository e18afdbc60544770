//! A deadline for what may have come while nobody could look.

use std::{pin::pin, time::Duration};

use tokio::time::{error::Elapsed, timeout, timeout_at};

use super::now;

/// The outcome of `work` within `limit`.
///
/// A process that stood still (paused, or swapped out) wakes up to a deadline that is long over and to an answer that has long
/// been there, in no certain order: then the answer is looked for once more.
///
/// # Errors
/// [`Elapsed`] where there is none.
pub async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let ends = now() + limit;
    let mut work = pin!(work);
    match timeout_at(ends, &mut work).await {
        Err(_) if now() > ends + LATE => timeout(GRACE, work).await,
        outcome => outcome,
    }
}

/// A timer that fires later than this did not run in between.
const LATE: Duration = Duration::from_millis(500);

const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::{sync::oneshot, time::advance};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_came_while_the_process_stood_still_is_not_too_late() {
        let (answer, coming) = oneshot::channel();
        let asked = tokio::spawn(within(LIMIT, coming));
        tokio::task::yield_now().await;
        // The deadline is what it sees first.
        advance(LIMIT * 6).await;
        answer.send("here").unwrap();
        assert_eq!(asked.await.unwrap().unwrap(), Ok("here"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_kept_and_passes_but_once() {
        for (stood_still, waited) in [(Duration::ZERO, LIMIT), (LIMIT * 6, LIMIT * 6 + GRACE)] {
            let began = now();
            let asked = tokio::spawn(within(LIMIT, std::future::pending::<()>()));
            tokio::task::yield_now().await;
            advance(stood_still).await;
            assert!(asked.await.unwrap().is_err());
            let over = began.elapsed() - waited;
            assert!(over < Duration::from_millis(10), "{over:?}");
        }
    }
}
