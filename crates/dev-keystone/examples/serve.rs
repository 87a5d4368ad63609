//! Serves the demo realm by itself: `cargo run -p dev-keystone --example serve -- 127.0.0.1:5000 http://127.0.0.1:9292`.
//! Prints a `clouds.yaml`; ends at Ctrl-C.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;

use dev_keystone::{DevKeystone, Options, Realm, clouds_yaml};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let listen = words.next().unwrap_or_else(|| "127.0.0.1:5000".to_owned()).parse()?;
    let mut options = Options::new(words.next().unwrap_or_else(|| "http://127.0.0.1:9292".to_owned()));
    if let Some(seconds) = words.next() {
        options.token_life = seconds.parse()?;
    }
    let identity = DevKeystone::bind(listen, Realm::demo(), &options)?;
    print!("{}", clouds_yaml(identity.url()));
    Ok(identity.run().await?)
}
