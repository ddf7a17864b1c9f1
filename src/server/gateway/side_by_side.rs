//! Futures that run side by side on one task: the requests that one message of a client
//! makes to many servers.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// Runs all of them; the answers come in the order of the futures.
pub(super) async fn join_all<T, F: Future<Output = T>>(futures: impl IntoIterator<Item = F>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if let Some(Poll::Ready(answer)) = future.as_mut().map(|future| future.as_mut().poll(context)) {
                // Freed at once: it may hold a connection.
                *future = None;
                *slot = Some(answer);
            }
        }
        if running.iter().all(Option::is_none) {
            return Poll::Ready(done.iter_mut().filter_map(Option::take).collect());
        }
        Poll::Pending
    })
    .await
}

/// Runs them until one gives something: the next one begins when one of those that run has given
/// nothing, or when none of them was done within `head_start`. The others are dropped. Of several that
/// are ready at once, the first counts.
pub(super) async fn first_success<T, F: Future<Output = Option<T>>>(
    futures: impl IntoIterator<Item = F>,
    head_start: Duration,
) -> Option<T> {
    let mut waiting = futures.into_iter().peekable();
    let mut running = Vec::new();
    loop {
        running.extend(waiting.next().map(Box::pin));
        if running.is_empty() {
            return None;
        }
        let step = one_ended(&mut running);
        let ended = if waiting.peek().is_some() {
            tokio::time::timeout(head_start, step).await.unwrap_or_default()
        } else {
            step.await
        };
        if ended.is_some() {
            return ended;
        }
    }
}

/// What the first of them gives that ends. Those that have given nothing are taken out.
async fn one_ended<T, F: Future<Output = Option<T>>>(running: &mut Vec<Pin<Box<F>>>) -> Option<T> {
    poll_fn(|context| {
        let (before, mut found) = (running.len(), None);
        running.retain_mut(|future| match found.is_none().then(|| future.as_mut().poll(context)) {
            Some(Poll::Ready(given)) => {
                found = given;
                false
            }
            Some(Poll::Pending) | None => true,
        });
        if found.is_some() || running.len() < before { Poll::Ready(found) } else { Poll::Pending }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};
    use std::rc::Rc;

    use super::*;

    type Try<'a> = Pin<Box<dyn Future<Output = Option<u32>> + 'a>>;

    const SOON: Duration = Duration::from_millis(1);

    /// What is found among these, if only refusals make the next one begin.
    async fn patiently(tries: Vec<Try<'_>>) -> Option<u32> {
        first_success(tries, Duration::MAX).await
    }

    #[tokio::test]
    async fn the_first_that_has_it() {
        let none = || -> Try<'_> { Box::pin(ready(None)) };
        assert_eq!(patiently(Vec::new()).await, None);
        assert_eq!(patiently(vec![none(), none()]).await, None);
        assert_eq!(
            patiently(vec![none(), Box::pin(ready(Some(2))), Box::pin(ready(Some(3)))]).await,
            Some(2_u32)
        );
        let later = async {
            tokio::task::yield_now().await;
            Some(1_u32)
        };
        let begun = Cell::new(false);
        let second = async {
            begun.set(true);
            Some(2_u32)
        };
        assert_eq!(patiently(vec![none(), Box::pin(later), Box::pin(second)]).await, Some(1));
        assert!(!begun.get(), "it began although the one before it had its head start");
    }

    #[tokio::test]
    async fn one_that_hangs_holds_nobody_up() {
        let dropped = Rc::new(Cell::new(false));
        let guard = Dropped(Rc::clone(&dropped));
        let hanging = async {
            let _guard = guard;
            pending().await
        };
        let tries: Vec<Try<'_>> = vec![Box::pin(hanging), Box::pin(ready(None)), Box::pin(ready(Some(3)))];
        assert_eq!(first_success(tries, SOON).await, Some(3));
        assert!(dropped.get());
        // One that is late still counts, and the last one is waited for.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let late = async { receiver.await.ok() };
        let second = async {
            let _ = sender.send(1_u32);
            pending().await
        };
        assert_eq!(first_success(vec![Box::pin(late) as Try<'_>, Box::pin(second)], SOON).await, Some(1));
        let slow = async {
            tokio::time::sleep(SOON * 20).await;
            Some(9_u32)
        };
        assert_eq!(first_success(vec![Box::pin(slow) as Try<'_>], SOON).await, Some(9));
    }

    struct Dropped(Rc<Cell<bool>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    #[tokio::test]
    async fn answers_keep_their_order() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut receiver = Some(receiver);
        let mut sender = Some(sender);
        let futures = (0..3).map(|number| {
            let (receiver, sender) = match number {
                0 => (receiver.take(), None),
                2 => (None, sender.take()),
                _ => (None, None),
            };
            async move {
                if let Some(sender) = sender {
                    let _ = sender.send(());
                }
                if let Some(receiver) = receiver {
                    let _ = receiver.await;
                }
                number
            }
        });
        assert_eq!(join_all(futures).await, [0, 1, 2]);
        assert_eq!(join_all(Vec::<std::future::Ready<()>>::new()).await, []);
    }
}
