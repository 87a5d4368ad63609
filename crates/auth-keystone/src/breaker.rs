//! Whether asking Keystone is worth anybody's time.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;

use crate::{backoff, cache::Digest};

/// So many failures …
const FAILURES: usize = 5;
/// … with so many different tokens …
const TOKENS: usize = 3;
/// … within this time make Keystone suspect.
const WITHIN: Duration = Duration::from_secs(10);
/// Failures beyond these are not remembered one by one.
const REMEMBERED: usize = 256;
/// A suspicion that proved wrong is not looked into again sooner.
const REST: Duration = Duration::from_secs(1);
/// The pause between probes of a Keystone that is away: no more than one a second, and not in step with others.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(1_000)..Duration::from_millis(1_200);
/// So many good probes in a row close it.
const GOOD: u32 = 2;

/// Closed: Keystone is asked. Open: it is away, as a probe of its own has shown, and whoever would ask is told so at
/// once. One token that Keystone stumbles over opens nothing.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Times are on the steady clock, oldest first.
    failures: VecDeque<(Duration, Digest)>,
    /// Somebody is looking into it, or keeps an open one under watch.
    watched: bool,
    /// When the last suspicion proved wrong.
    cleared: Option<Duration>,
}

impl Breaker {
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Notes that asking about this token failed in a way that is Keystone's fault. With that, Keystone may have become
    /// suspect: then somebody has to keep watch.
    pub(crate) fn failed(self: &Arc<Self>, token: Digest, now: Duration) -> Option<Watch> {
        let mut state = self.lock();
        if state.failures.len() == REMEMBERED {
            state.failures.pop_front();
        }
        state.failures.push_back((now, token));
        let begin = now.saturating_sub(WITHIN);
        state.failures.retain(|(at, _)| *at >= begin);
        let tokens: HashSet<_> = state.failures.iter().map(|(_, token)| token).collect();
        let suspect = state.failures.len() >= FAILURES && tokens.len() >= TOKENS;
        let rested = state.cleared.is_none_or(|cleared| now >= cleared + REST);
        if !suspect || !rested || state.watched {
            return None;
        }
        state.watched = true;
        Some(Watch { breaker: Arc::downgrade(self) })
    }

    /// No panic can leave the state half written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds out whether Keystone is away, and if so, when it is back. However that ends, the breaker is closed then.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Not kept alive by being watched.
    breaker: Weak<Breaker>,
}

impl Watch {
    /// Probes, opens the breaker if that fails, and goes on until Keystone is back: then `true`.
    ///
    /// `now` is the steady clock.
    pub(crate) async fn keep<P>(self, probe: impl Fn() -> P, now: impl Fn() -> Duration) -> bool
    where
        P: Future<Output = bool>,
    {
        if probe().await {
            if let Some(breaker) = self.breaker.upgrade() {
                breaker.lock().cleared = Some(now());
            }
            tracing::info!("validations fail, but Keystone answers: it is asked on");
            return false;
        }
        match self.breaker.upgrade() {
            Some(breaker) => breaker.open.store(true, Relaxed),
            None => return false,
        }
        tracing::warn!("Keystone is away: nobody waits for it until it is back");
        let mut good = 0;
        while good < GOOD {
            sleep(backoff::within(PAUSE)).await;
            if self.breaker.strong_count() == 0 {
                return false;
            }
            good = if probe().await { good + 1 } else { 0 };
        }
        tracing::warn!("Keystone is back");
        true
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.upgrade() {
            let mut state = breaker.lock();
            state.watched = false;
            state.failures.clear();
            breaker.open.store(false, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::TokenCache,
        config::Administrators,
        known::{End, Lives},
    };

    fn tokens() -> Vec<Digest> {
        let none = Duration::ZERO;
        let lives =
            Lives { good: 1, good_for: none, privileged_for: none, stale_for: none, bad: 1, bad_for: none };
        let cache = TokenCache::new(lives, Administrators::default()).unwrap();
        (0..8).map(|number| cache.digest(&number.to_string(), End::Counts)).collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_failures_of_three_tokens_within_ten_seconds_are_suspect() {
        let tokens = tokens();
        for (what, failures, suspect) in [
            ("three tokens", vec![(0, 0), (0, 0), (1, 1), (1, 1), (2, 9)], true),
            ("one token", vec![(0, 0); 300], false),
            ("two tokens", [vec![(0, 0); 100], vec![(1, 1); 100]].concat(), false),
            ("four failures", vec![(0, 0), (1, 0), (2, 0), (3, 0)], false),
            ("too slowly", vec![(0, 0), (1, 3), (2, 6), (3, 9), (4, 12)], false),
        ] {
            let breaker = Arc::new(Breaker::default());
            let watches: Vec<_> = failures
                .iter()
                .filter_map(|(token, at)| breaker.failed(tokens[*token], SECOND * (100 + at)))
                .collect();
            assert_eq!(!watches.is_empty(), suspect, "{what}");
            assert!(watches.len() <= 1 && !breaker.is_open(), "{what}");
        }
    }

    #[tokio::test]
    async fn a_keystone_that_answers_a_probe_is_asked_on_and_probed_no_more_than_once_a_second() {
        let tokens = tokens();
        let breaker = Arc::new(Breaker::default());
        let suspect = |at: Duration| tokens[..5].iter().find_map(|token| breaker.failed(*token, at));
        let watch = suspect(SECOND * 100).unwrap();
        assert!(suspect(SECOND * 100).is_none(), "somebody is at it");
        assert!(!watch.keep(|| async { true }, || SECOND * 100).await);
        assert!(!breaker.is_open());
        assert!(suspect(SECOND * 100).is_none(), "just looked into");
        assert!(suspect(SECOND * 101).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_keystone_that_is_away_is_probed_once_a_second_until_it_answered_twice() {
        let tokens = tokens();
        let breaker = Arc::new(Breaker::default());
        let watch = tokens[..5].iter().find_map(|token| breaker.failed(*token, SECOND)).unwrap();
        let start = tokio::time::Instant::now();
        let probes = Mutex::new(Vec::new());
        let back = watch
            .keep(
                || async {
                    let mut probes = probes.lock().unwrap();
                    probes.push(start.elapsed());
                    assert_eq!(breaker.is_open(), probes.len() > 1);
                    // Good, but not twice in a row, before the end.
                    [4, 10, 11].contains(&probes.len())
                },
                || SECOND,
            )
            .await;
        assert!(back && !breaker.is_open());
        let probes = probes.into_inner().unwrap();
        assert_eq!(probes.len(), 11);
        // A timer may be a millisecond late.
        let pause = PAUSE.start..PAUSE.end + Duration::from_millis(2);
        assert!(probes.windows(2).all(|pair| pause.contains(&(pair[1] - pair[0]))), "{probes:?}");
    }

    #[tokio::test]
    async fn a_watch_that_is_given_up_leaves_the_breaker_closed() {
        let tokens = tokens();
        let breaker = Arc::new(Breaker::default());
        let watch = tokens[..5].iter().find_map(|token| breaker.failed(*token, SECOND)).unwrap();
        let watching = tokio::spawn(watch.keep(|| async { false }, || SECOND));
        while !breaker.is_open() {
            tokio::task::yield_now().await;
        }
        watching.abort();
        assert!(watching.await.is_err());
        assert!(!breaker.is_open());
    }
}
