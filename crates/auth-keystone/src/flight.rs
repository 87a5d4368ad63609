//! One question at a time: who asks the same while it is under way waits for the same answer.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// Questions under way, by what they are about.
pub(crate) struct Flights<K, V> {
    under_way: Arc<UnderWay<K, V>>,
}

type UnderWay<K, V> = Mutex<HashMap<K, watch::Receiver<Option<V>>>>;

/// A place on a flight.
pub(crate) struct Seat<V> {
    answer: watch::Receiver<Option<V>>,
    /// Whether somebody else had asked already.
    pub(crate) shared: bool,
}

impl<K, V> Flights<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self { under_way: Arc::default() }
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }

    /// Joins the question about `key`, or starts it with `ask`.
    ///
    /// It runs as a task of its own: whoever started it may go away without failing the others. Its answer, good or
    /// bad, goes to all who wait and is kept nowhere; what is to be remembered `ask` has to remember itself, before it
    /// ends.
    pub(crate) fn join<F>(&self, key: K, ask: impl FnOnce() -> F) -> Seat<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (landed, departure) = {
            let mut under_way = lock(&self.under_way);
            match under_way.entry(key) {
                Entry::Occupied(found) => return Seat { answer: found.get().clone(), shared: true },
                Entry::Vacant(place) => {
                    let (landed, answer) = watch::channel(None);
                    place.insert(answer.clone());
                    (landed, answer)
                }
            }
        };
        let removal = Removal { key, under_way: Arc::clone(&self.under_way) };
        let question = ask();
        tokio::spawn(async move {
            let answer = question.await;
            // Whoever comes from here on asks anew, and finds what was remembered.
            drop(removal);
            landed.send_replace(Some(answer));
        });
        Seat { answer: departure, shared: false }
    }
}

impl<V: Clone> Seat<V> {
    /// The answer; `None` when the task died with its runtime.
    pub(crate) async fn answer(mut self) -> Option<V> {
        self.answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone())
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

/// Takes a flight off the board however it ends.
struct Removal<K: Eq + Hash, V> {
    key: K,
    under_way: Arc<UnderWay<K, V>>,
}

impl<K: Eq + Hash, V> Drop for Removal<K, V> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

/// No panic can leave the board half written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn everybody_who_joins_gets_the_one_answer() {
        let flights = Flights::new();
        let (answer, question) = oneshot::channel();
        let first = flights.join(1, || async { question.await.unwrap_or("lost") });
        let second = flights.join(1, || async { "asked twice" });
        assert!(!first.shared && second.shared);
        answer.send("once").unwrap();
        assert_eq!((first.answer().await, second.answer().await), (Some("once"), Some("once")));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn who_started_it_may_go_away() {
        let flights = Flights::new();
        let (answer, question) = oneshot::channel();
        let first = flights.join(1, || async { question.await.unwrap_or("lost") });
        let second = flights.join(1, || async { "asked twice" });
        drop(first);
        answer.send("once").unwrap();
        assert_eq!(second.answer().await, Some("once"));
    }

    #[tokio::test]
    async fn a_task_that_panics_fails_its_waiters_only_and_leaves_the_board() {
        let flights = Flights::<u8, u8>::new();
        let seat = flights.join(1, || async { panic!("on purpose") });
        assert_eq!(seat.answer().await, None);
        assert_eq!(flights.join(1, || async { 2 }).answer().await, Some(2));
    }

    #[test]
    fn a_runtime_that_stops_fails_its_waiters_and_leaves_the_board() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let flights = Flights::<u8, u8>::new();
        let seat = runtime.block_on(async { flights.join(1, pending) });
        drop(runtime);
        assert_eq!(flights.len(), 0);
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(other.block_on(seat.answer()), None);
    }
}
