//! Paths with wildcards, and whether a path fits one.
//!
//! A matcher that tries one wildcard's length after the other takes exponential or at least quadratic time on patterns
//! made for that. Here the set of all places in the path that the pattern can have come to is carried from token to
//! token, as bits: a token costs one operation for 64 places, whatever the pattern and the path are.

/// The longest pattern, in bytes: Keystone takes 225 characters, and most of its databases keep 128.
const MAX_PATTERN_BYTES: usize = 256;

#[cfg(test)]
thread_local! {
    /// How many patterns this thread has compiled.
    pub(crate) static COMPILED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// One byte or more, no slash among them: `*` and `{name}`.
    Part,
    /// Anything, also nothing: `**`.
    Anything,
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    tokens: Box<[Token]>,
}

impl Pattern {
    /// Compiles a pattern; `None` if it is too long.
    pub(crate) fn compile(pattern: &str) -> Option<Self> {
        #[cfg(test)]
        COMPILED.set(COMPILED.get() + 1);
        if pattern.len() > MAX_PATTERN_BYTES {
            return None;
        }
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut rest = pattern.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let (token, length) = match first {
                b'*' if after.starts_with(b"*") => (Token::Anything, 2),
                b'*' => (Token::Part, 1),
                b'{' => match after.iter().position(|byte| *byte == b'}') {
                    Some(end) => (Token::Part, end + 2),
                    None => (Token::Byte(b'{'), 1),
                },
                byte => (Token::Byte(*byte), 1),
            };
            // Anything twice is no more than once.
            if token != Token::Anything || tokens.last() != Some(&Token::Anything) {
                tokens.push(token);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Some(Self { tokens: tokens.into_boxed_slice() })
    }

    /// The memory it holds besides itself, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.tokens)
    }
}

/// The path of a request, to be held against patterns.
pub(crate) struct Requested<'a> {
    path: &'a [u8],
    index: Option<Index>,
    /// The places that the tokens so far can have come to: bit `i` of word `w` is place `64 w + i`.
    reached: Vec<u64>,
    steps: usize,
}

impl<'a> Requested<'a> {
    /// Prepares nothing yet: most rules end at the first bytes.
    pub(crate) fn new(path: &'a str) -> Self {
        Self { path: path.as_bytes(), index: None, reached: Vec::new(), steps: 0 }
    }

    /// The work so far: bytes compared and words of places worked on.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Whether the whole path fits a pattern. What is written otherwise than in the pattern (`%61` for `a`) does not
    /// fit it: the service might read it in one way and the rule's maker have meant another.
    pub(crate) fn fits(&mut self, pattern: &Pattern) -> bool {
        let texts = pattern.tokens.iter().zip(self.path);
        let begin = texts.take_while(|(token, byte)| **token == Token::Byte(**byte)).count();
        self.steps += begin + 1;
        let Some((next, _)) = pattern.tokens.get(begin..).and_then(<[Token]>::split_first) else {
            return begin == self.path.len();
        };
        if matches!(next, Token::Byte(_)) {
            return false;
        }
        let index = self.index.get_or_insert_with(|| Index::of(self.path));
        self.reached.clear();
        self.reached.resize(index.words, 0);
        set(&mut self.reached, begin);
        for token in pattern.tokens.iter().skip(begin) {
            self.steps += index.words;
            match token {
                Token::Byte(byte) => index.text(&mut self.reached, *byte),
                Token::Part => index.part(&mut self.reached),
                Token::Anything => anything(&mut self.reached),
            }
            if self.reached.iter().all(|word| *word == 0) {
                return false;
            }
        }
        is_set(&self.reached, self.path.len())
    }
}

/// Where each byte is in a path.
struct Index {
    /// Words for all places: before each byte and after the last.
    words: usize,
    /// For each byte value the number of its row, from 1 on; 0 where it is not in the path.
    rows: [u8; 256],
    /// Row by row, the places where a byte is.
    places: Vec<u64>,
    /// The places where another byte than a slash is.
    inside: Vec<u64>,
}

impl Index {
    fn of(path: &[u8]) -> Self {
        let words = path.len() / 64 + 1;
        let (mut rows, mut places, mut inside) = ([0_u8; 256], Vec::new(), vec![0; words]);
        let mut last = 0_u8;
        for (place, byte) in path.iter().enumerate() {
            if *byte != b'/' {
                set(&mut inside, place);
            }
            let Some(row) = rows.get_mut(usize::from(*byte)) else { continue };
            if *row == 0 {
                // A path is UTF-8, which has fewer than 255 different bytes.
                last = last.saturating_add(1);
                *row = last;
                places.resize(usize::from(last) * words, 0);
            }
            let row = usize::from(*row - 1) * words;
            if let Some(places) = places.get_mut(row..row + words) {
                set(places, place);
            }
        }
        Self { words, rows, places, inside }
    }

    /// One byte further where it is this one.
    fn text(&self, reached: &mut [u64], byte: u8) {
        let row = self.rows.get(usize::from(byte)).copied().unwrap_or_default();
        let row = usize::from(row).checked_sub(1).and_then(|row| {
            let first = row * self.words;
            self.places.get(first..first + self.words)
        });
        match row {
            Some(places) => one_further(reached, places),
            None => reached.fill(0),
        }
    }

    /// One byte or more further within a part of the path.
    fn part(&self, reached: &mut [u64]) {
        one_further(reached, &self.inside);
        // An addition carries a bit through a run of ones: what changes in the run is what can be reached in it.
        let mut carry = false;
        for (reached, inside) in reached.iter_mut().zip(&self.inside) {
            let (sum, over) = (*reached & inside).overflowing_add(*inside);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            carry = over || over_again;
            *reached |= sum ^ inside;
        }
    }
}

/// Any number of bytes further.
fn anything(reached: &mut [u64]) {
    let mut later = false;
    for word in reached {
        if later {
            *word = u64::MAX;
        } else if *word != 0 {
            *word = u64::MAX << word.trailing_zeros();
            later = true;
        }
    }
}

/// Each place that is also in `places`, one further.
fn one_further(reached: &mut [u64], places: &[u64]) {
    let mut carry = 0;
    for (word, places) in reached.iter_mut().zip(places) {
        let here = *word & places;
        *word = here << 1 | carry;
        carry = here >> 63;
    }
}

fn set(words: &mut [u64], place: usize) {
    if let Some(word) = words.get_mut(place / 64) {
        *word |= 1 << (place % 64);
    }
}

fn is_set(words: &[u64], place: usize) -> bool {
    words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        Pattern::compile(pattern).is_some_and(|pattern| Requested::new(path).fits(&pattern))
    }

    /// The definition: a table of pattern × path, token by token.
    fn reference(pattern: &str, path: &str) -> bool {
        let (tokens, path) = (Pattern::compile(pattern).unwrap().tokens, path.as_bytes());
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for token in tokens {
            let mut next = vec![false; path.len() + 1];
            for from in (0..=path.len()).filter(|from| reached[*from]) {
                match token {
                    Token::Byte(byte) => {
                        if path.get(from) == Some(&byte) {
                            next[from + 1] = true;
                        }
                    }
                    Token::Part => {
                        let part = path[from..].iter().take_while(|byte| **byte != b'/').count();
                        next[from + 1..from + 1 + part].fill(true);
                    }
                    Token::Anything => next[from..].fill(true),
                }
            }
            reached = next;
        }
        reached[path.len()]
    }

    #[test]
    fn patterns_fit_what_keystones_middleware_says_they_fit() {
        for (pattern, path, expected) in [
            ("/v2/images", "/v2/images", true),
            ("/v2/images", "/v2/images/", false),
            ("/v2/images", "/v2/imagesx", false),
            ("/v2/images", "/v2/image", false),
            ("/v2/images", "/V2/images", false),
            ("/v2.images", "/v2/images", false),
            ("/v2/images/{image_id}", "/v2/images/a-b.c", true),
            ("/v2/images/{image_id}", "/v2/images/", false),
            ("/v2/images/{image_id}", "/v2/images/a/members", false),
            ("/v2/images/{image_id}/members/{m}", "/v2/images/a/members/b", true),
            ("/v2/images/*", "/v2/images/a", true),
            ("/v2/images/*", "/v2/images/a/members", false),
            ("/v2/images/*/members", "/v2/images/a/members", true),
            ("/v2/images/x*", "/v2/images/xyz", true),
            ("/v2/images/x*", "/v2/images/x", false),
            ("/v2/**", "/v2/", true),
            ("/v2/**", "/v2/images/a/members/b", true),
            ("/v2/**/members", "/v2/images/a/members", true),
            ("/v2/**/members", "/v2/images/a/members/b", false),
            ("**", "", true),
            ("**", "/anything", true),
            ("", "", true),
            ("", "/", false),
            ("*", "", false),
            ("/v2/{a", "/v2/{a", true),
            ("/v2/{a", "/v2/b", false),
            ("/v2/{a{b}", "/v2/c", true),
            ("/v2/images", "/v2/im%61ges", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_pattern_longer_than_256_bytes_is_not_compiled() {
        assert!(Pattern::compile(&"a".repeat(256)).is_some());
        assert!(Pattern::compile(&"a".repeat(257)).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn short_paths_fit_as_the_definition_says(
            pattern in "(\\*|\\*\\*|\\{x\\}|\\{|/|a|b){0,12}", path in "[/ab]{0,12}",
        ) {
            prop_assert_eq!(fits(&pattern, &path), reference(&pattern, &path));
        }

        #[test]
        fn long_paths_fit_as_the_definition_says(
            pattern in "(\\*|\\*\\*|/|a|ab|é){0,20}(\\*\\*)?", path in "(/|a|b|é|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa){0,30}",
        ) {
            prop_assert_eq!(fits(&pattern, &path), reference(&pattern, &path));
        }

        #[test]
        fn paths_made_from_a_pattern_fit_it_and_no_change_differs_from_the_definition(
            parts in prop::collection::vec(("(\\*|\\*\\*|/|a|b)", "[ab]{1,70}", "[/ab]{0,70}"), 0..8), change in 0_usize..600,
        ) {
            let pattern: String = parts.iter().map(|(token, ..)| token.as_str()).collect();
            let made = parts.iter().map(|(token, part, anything)| match token.as_str() {
                "*" => part,
                "**" => anything,
                byte => byte,
            });
            let mut path: String = made.collect();
            // Two single wildcards side by side are one for anything.
            prop_assert_eq!(fits(&pattern, &path), reference(&pattern, &path));
            prop_assert!(pattern.contains("**") || fits(&pattern, &path));
            if !path.is_empty() {
                path.remove(change % path.len());
                prop_assert_eq!(fits(&pattern, &path), reference(&pattern, &path));
            }
        }
    }
}
