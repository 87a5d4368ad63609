//! Binding, running, stopping.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use actix_web::dev::{Server, ServerHandle, Service};
use actix_web::{App, HttpServer, web};

use crate::catalog::Catalog;
use crate::realm::Realm;
use crate::signing_key::SigningKey;
use crate::tokens::Tokens;
use crate::{Error, answer, routes};

/// What may be chosen beside the address and the realm.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image service's URL for the catalog, e.g. `http://127.0.0.1:9292`.
    pub image_url: String,
    /// The life of a token in seconds.
    pub token_life: u32,
    /// How many seconds after its expiry a token still validates with `allow_expired`.
    pub expired_window: u32,
    /// Where the signing key is kept, so that tokens survive a restart; without it a new key is made at each start.
    pub data_dir: Option<PathBuf>,
}

impl Options {
    /// Keystone's defaults: tokens for an hour, two days of `allow_expired`; a new key at each start.
    pub fn new(image_url: impl Into<String>) -> Self {
        Self { image_url: image_url.into(), token_life: 3600, expired_window: 48 * 3600, data_dir: None }
    }
}

/// What the request handlers share.
pub(crate) struct Identity {
    pub(crate) realm: Realm,
    pub(crate) tokens: Tokens,
    pub(crate) catalog: Catalog,
    /// With `/v3`, without a slash at the end.
    pub(crate) url: String,
}

/// A development identity that has its port; it answers once [`DevKeystone::run`]'s future is polled.
pub struct DevKeystone {
    url: String,
    public_key_pem: String,
    server: Server,
}

impl DevKeystone {
    /// Takes the port (0: any free one) and makes or reads the signing key.
    ///
    /// # Errors
    /// Every address off loopback, a taken port, a realm that contradicts itself, an unusable key file.
    pub fn bind(listen: SocketAddr, realm: Realm, options: &Options) -> Result<Self, Error> {
        if !listen.ip().is_loopback() {
            return Err(Error::NotLoopback(listen));
        }
        realm.check()?;
        let key = options.data_dir.as_deref().map_or_else(SigningKey::generate, SigningKey::kept_in)?;
        let failed = |source| Error::Listen { listen, source };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        let url = format!("http://{}/v3", listener.local_addr().map_err(failed)?);
        let identity = web::Data::new(Identity {
            tokens: Tokens::new(&key, &realm.domain.id, options.token_life, options.expired_window)?,
            catalog: Catalog::new(&url, &options.image_url),
            url: url.clone(),
            realm,
        });
        let server = HttpServer::new(move || {
            let shared = identity.clone();
            App::new().app_data(identity.clone()).configure(routes::configure).wrap_fn(
                move |request, service| {
                    let (answering, shared) = (service.call(request), shared.clone());
                    async move {
                        let mut answered = answering.await?;
                        answer::finish(answered.response_mut(), &shared);
                        Ok(answered)
                    }
                },
            )
        })
        .workers(2)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)
        .map_err(failed)?
        .run();
        Ok(Self { url, public_key_pem: key.public_pem, server })
    }

    /// The `auth_url`, with `/v3`, e.g. `http://127.0.0.1:5000/v3`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The key that verifies the tokens, as a PEM text for the service's `keystone.jws_public_keys`.
    #[must_use]
    pub fn public_key_pem(&self) -> &str {
        &self.public_key_pem
    }

    /// Stops the server from elsewhere: `handle.stop(true).await`.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// The server: await or spawn it in the runtime at hand. It ends when stopped and ignores signals.
    pub fn run(self) -> Server {
        self.server
    }
}
