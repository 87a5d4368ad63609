//! Vitrine from outside: what the stories in `tests/tests/` start, drive and stop.
