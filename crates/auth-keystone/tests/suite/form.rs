//! What is decided by a token's form alone.

use auth_keystone::{Config, Formats, Keystone};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::stand_in::{StandIn, Verdict, token, verdict};

#[tokio::test]
async fn ten_thousand_hostile_strings_cost_no_call() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let good = token("gAAAAAB");
    for number in 0..2_000 {
        let control = char::from(u8::try_from(number % 32).unwrap());
        for hostile in [
            format!("{good}{}", "A".repeat(3_072 + number)),
            format!("{good}{control}{number}"),
            format!("{good}{}{number}", "!".repeat(1 + number % 50)),
            format!("{good}\u{e9}{number}"),
            format!("{number:019}").chars().take(19).collect(),
        ] {
            assert_eq!(verdict(&keystone, &hostile).await, Verdict::Rejected, "{hostile:.80}");
        }
    }
    assert_eq!((stand_in.posts(), stand_in.gets()), (0, 0));
    assert_eq!(keystone.figures().malformed, 10_000);
}

async fn accepted(keystone: &Keystone, spelled: &str) -> bool {
    verdict(keystone, spelled).await == Verdict::Accepted
}

#[tokio::test]
async fn all_spellings_of_one_token_are_one_entry_and_one_call() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    // 14 letters after «gAAAAAB» leave two over: their last four bits are unused.
    let token = "gAAAAABpIk5mAAAAAAAAAAAAAA";
    stand_in.admit(token);
    for same in [token.to_owned(), format!("{token}="), format!("{token}=="), format!(" {token}\t")] {
        assert!(accepted(&keystone, &same).await, "{same:?}");
    }
    // Keystone would take these as the same token, too.
    for alias in [
        format!("{token}!"),
        token.replace("pIk", "p!!!Ik"),
        token.replace("pIk", "p=Ik"),
        token.replace("pIk", "p\nIk"),
        format!("{}B", &token[..token.len() - 1]),
        format!("{token}==junk"),
    ] {
        assert!(!accepted(&keystone, &alias).await, "{alias:?}");
    }
    assert_eq!(stand_in.gets(), 1);
    assert_eq!((keystone.figures().good_entries, keystone.figures().bad_entries), (1, 0));
}

#[tokio::test]
async fn the_longest_token_is_a_matter_of_configuration() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let long = "a".repeat(3_072);
    stand_in.admit(&long);
    assert_eq!(verdict(&keystone, &long).await, Verdict::Accepted);
    let mut config = stand_in.config();
    config.max_token_length = 3_071;
    assert_eq!(verdict(&stand_in.keystone_with(&config), &long).await, Verdict::Rejected);
    assert_eq!(stand_in.gets(), 1);
}

/// A validator that takes no token but those that look like Keystone's.
fn knowing_formats(stand_in: &StandIn) -> Keystone {
    stand_in.keystone_with(&Config { token_formats: Formats::default(), ..stand_in.config() })
}

#[tokio::test]
async fn ten_thousand_strings_that_are_merely_base64_cost_no_call() {
    let stand_in = StandIn::start();
    let keystone = knowing_formats(&stand_in);
    let mut runner = TestRunner::deterministic();
    let random =
        proptest::string::string_regex("[A-Za-z0-9_-]{20,600}(\\.[A-Za-z0-9_-]{2,100}){0,2}").unwrap();
    for _ in 0..10_000 {
        let string = random.new_tree(&mut runner).unwrap().current();
        assert_eq!(verdict(&keystone, &string).await, Verdict::Rejected, "{string}");
    }
    assert_eq!((stand_in.posts(), stand_in.gets()), (0, 0));
}

#[tokio::test]
async fn tokens_as_keystone_makes_them_are_asked_about_in_either_format() {
    let stand_in = StandIn::start();
    let keystone = knowing_formats(&stand_in);
    let now = Utc::now().timestamp().to_be_bytes();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jws = format!("{}.{}.{}", part(br#"{"alg":"ES256","typ":"JWT"}"#), part(b"{}"), part(&[7; 64]));
    // As long as those for nothing, for a project, and by trust.
    let fernet = [4, 5, 6].map(|blocks| part(&[&[0x80][..], &now, &vec![7; 48 + 16 * blocks]].concat()));
    assert_eq!(fernet.each_ref().map(String::len), [162, 183, 204]);
    for token in fernet.iter().chain([&jws]) {
        stand_in.admit(token);
        assert_eq!(verdict(&keystone, token).await, Verdict::Accepted, "{token}");
    }
}
