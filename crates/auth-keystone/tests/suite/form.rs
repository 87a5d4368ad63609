//! What is decided by a token's form alone.

use auth_keystone::Keystone;

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
    config.token_max_length = 3_071;
    assert_eq!(verdict(&stand_in.keystone_with(&config), &long).await, Verdict::Rejected);
    assert_eq!(stand_in.gets(), 1);
}
