//! Futures that run side by side on one task: the requests that one message of a client
//! makes to many servers.

use std::future::poll_fn;
use std::task::Poll;

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

#[cfg(test)]
mod tests {
    use super::*;

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
